"use strict";
/* Candidate, examples, head-to-head. All text goes in as text, never as HTML. */
{
  const { data, plotly, unpack, views, show } = forget512;
  const QUANTILES = 17, STEP = 0.01, INFINITE = 32767, UNKNOWN = -32768, UNDEFINED = 65535; // as in page_data.py
  const FAMILIES = ["none", "single", "interval", "shortcut"];
  const PAGE = 60, DIFFERENT = 12;
  const id = (name) => document.getElementById(name);

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }
  const number = (value, digits = 4) => value === null || value === undefined ? "–" : value.toFixed(digits);
  const percent = (value) => value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)}%`;
  // Plotly reads a little HTML in its texts.
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  /* ---- data ---- */

  async function unpackSide(text, count) {
    const buffer = await unpack(text);
    const inner = QUANTILES - 2;
    const rises = new Uint8Array(buffer, 4 * count, inner * count);
    const low = new Int16Array(buffer, 0, count), high = new Int16Array(buffer, 2 * count, count);
    const correct = new Uint8Array(buffer, (4 + inner) * count, count);
    return {
      correct: (s) => correct[s] === 255 ? null : correct[s] / 200,
      quantiles(s) {
        const found = [low[s] * STEP];
        const extent = (high[s] - low[s]) * STEP;
        let place = 0;
        for (let k = 0; k < inner; k++) {
          place += rises[k * count + s];
          found.push(low[s] * STEP + place / 255 * extent);
        }
        return [...found, high[s] * STEP];
      },
    };
  }

  async function unpackRules(text, count) {
    const buffer = await unpack(text);
    const low = new Int16Array(buffer, 0, count), high = new Int16Array(buffer, 2 * count, count);
    const epsilon = new Uint16Array(buffer, 4 * count, count), code = new Uint8Array(buffer, 6 * count, count);
    const steps = (value) => value === INFINITE ? Infinity : value === UNKNOWN ? NaN : value * STEP;
    return {
      epsilon: Float64Array.from(epsilon, (value) => value === UNDEFINED ? NaN : value / 1000),
      rule: (s) => ({
        family: FAMILIES[code[s] % FAMILIES.length],
        positive: code[s] >= FAMILIES.length ? "unlearned" : "retrained",
        low: steps(low[s]), high: steps(high[s]),
      }),
    };
  }

  const kept = new Map();
  async function examplesOf(key) {
    if (!kept.has(key)) {
      const [board, values] = [await data("board"), await data(key)];
      const count = board.targets.length;
      const side = await unpackSide(values.examples, count);
      const rules = values.rules ? await unpackRules(values.rules, count) : {};
      kept.set(key, { ...side, ...rules, bins: values.epsilon });
    }
    return kept.get(key);
  }

  const points = (epsilon, bins) => {
    const place = Math.floor(epsilon / bins.width);
    return place < bins.counts.length ? bins.worth[place] : 0; // NaN gives 0 as well
  };

  /* ---- charts ---- */

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(`--${name}`).trim();
    return { ink: value("ink"), muted: value("muted"), line: value("line"), card: value("card"),
             retrained: value("retrained"), unlearned: value("unlearned") };
  }

  function chart(title, note, summary) {
    const plot = make("div", { className: "chart" });
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", summary || `${title}. ${note || ""}`);
    const caption = make("figcaption", {}, title);
    if (note) caption.append(make("small", {}, note));
    return { figure: make("figure", {}, caption, plot), plot };
  }

  async function draw(plot, traces, layout = {}) {
    await plotly();
    const c = colours();
    const axis = { gridcolor: c.line, zerolinecolor: c.line, linecolor: c.muted, tickfont: { color: c.muted }, automargin: true };
    const titled = (text) => text ? { title: { text, font: { color: c.muted, size: 12 }, standoff: 8 } } : {};
    const { x, y, ...rest } = layout;
    await Plotly.react(plot, traces, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 12, color: c.ink },
      margin: { l: 8, r: 8, t: 26, b: 8 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      hoverlabel: { bgcolor: c.card, bordercolor: c.line, font: { color: c.ink } },
      ...rest,
      xaxis: { ...axis, ...titled(x && x.text), ...(x || {}) },
      yaxis: { ...axis, ...titled(y && y.text), ...(y || {}) },
    }, { displayModeBar: false, responsive: true });
  }

  const line = (name, x, y, colour, more = {}) =>
    ({ name, x, y, mode: "lines", line: { color: colour, width: 2, ...more.line }, ...more.trace });

  /* Retrained: filled, solid. Unlearned: dashed, no fill. They are distinguished without colour. */
  function twoSides(x, retrained, unlearned) {
    const c = colours();
    return [
      line("retrained", x, retrained, c.retrained, { trace: { fill: "tozeroy", fillcolor: `${c.retrained}33`, hoverinfo: "skip" } }),
      line("unlearned", x, unlearned, c.unlearned, { line: { dash: "5px,3px" }, trace: { hoverinfo: "skip" } }),
    ];
  }

  function grid(low, high, count) {
    return Array.from({ length: count }, (_, i) => low + (high - low) * i / (count - 1));
  }

  /* Density of runs that are spread evenly between neighbouring quantiles, smoothed by a normal kernel. */
  function density(quantiles, x) {
    const steps = quantiles.length - 1;
    const quartile = quantiles[3 * steps / 4] - quantiles[steps / 4];
    const width = Math.max(0.25 * quartile / 1.35 * 1.6, 0.03);
    const cdf = (t) => 1 / (1 + Math.exp(-1.702 * t)); // logistic: within 0.01 of the normal one
    const bell = (t) => Math.exp(-t * t / 2) / Math.sqrt(2 * Math.PI);
    return x.map((at) => {
      let sum = 0;
      for (let k = 0; k < steps; k++) {
        const [a, b] = [quantiles[k], quantiles[k + 1]];
        sum += b - a > width / 20 ? (cdf((at - a) / width) - cdf((at - b) / width)) / (b - a)
          : bell((at - (a + b) / 2) / width) / width;
      }
      return sum / steps;
    });
  }

  /* ---- choices and pictures ---- */

  function fill(select, candidates, chosen, onChange) {
    if (select.options.length !== candidates.length) {
      select.replaceChildren(...candidates.map((row) => make("option", { value: row.key }, row.name)));
    }
    select.value = chosen;
    select.onchange = onChange;
  }

  function picture(board, s, size) {
    const sprite = board.sprite;
    const box = make("span", { className: "picture" });
    if (!sprite) return box;
    const scale = Math.max(1, Math.round(size / Math.max(sprite.width, sprite.height)));
    const [w, h] = [sprite.width * scale, sprite.height * scale];
    box.style.width = `${w}px`;
    box.style.height = `${h}px`;
    box.style.backgroundImage = `url("thumbnails.${sprite.suffix}")`;
    box.style.backgroundSize = `${sprite.columns * w}px auto`;
    box.style.backgroundPosition = `${-(s % sprite.columns) * w}px ${-Math.floor(s / sprite.columns) * h}px`;
    return box;
  }

  const shownEpsilon = (value) => Number.isNaN(value) ? "undefined" : value.toFixed(2);

  /* Arrow keys move among the buttons of a group; Home and End go to its ends. */
  function arrows(group) {
    group.onkeydown = (event) => {
      const buttons = [...group.querySelectorAll("button")];
      const at = buttons.indexOf(document.activeElement);
      if (at < 0) return;
      const across = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length;
      const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + across, ArrowUp: at - across, Home: 0, End: buttons.length - 1 };
      const next = buttons[moves[event.key]];
      if (!next) return;
      event.preventDefault();
      for (const button of buttons) button.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    };
  }

  function exampleButton(board, s, lines, onClick) {
    const button = make("button", { type: "button", className: "example", onclick: onClick }, picture(board, s, 40));
    for (const text of lines) button.append(make("span", {}, text));
    button.setAttribute("aria-label", `image ${board.indices[s]}, class ${board.targets[s]}, ${lines.join(", ")}`);
    button.dataset.example = s;
    return button;
  }

  const none = (body) => body.replaceChildren(make("p", { className: "note" }, "No candidate has been scored yet."));

  /* ---- candidate ---- */

  views.candidate = async (current, key) => {
    const board = await data("board");
    const row = board.candidates.find((each) => each.key === key) || board.candidates[0];
    const body = id("candidate-body");
    if (!row) return none(body);
    fill(id("candidate-choice"), board.candidates, row.key, (event) => { location.hash = `#candidate/${event.target.value}`; });
    const [values, reference] = await Promise.all([data(row.key), data("reference"), plotly()]);
    if (!current()) return;
    const c = colours();
    const facts = make("div", { className: "facts" });
    const fact = (name, value) => facts.append(make("span", {}, `${name} `, make("b", {}, value)));
    fact("score", number(row.score));
    if (row.interval) fact("interval", `${number(row.interval[0])} … ${number(row.interval[1])}`);
    fact("F", number(row.quality));
    fact("of ceiling", percent(row.share));
    fact("retain ratio", number(row.ratios.retain));
    fact("test ratio", number(row.ratios.test));
    fact("runs", String(row.runs));
    body.replaceChildren(facts);
    for (const text of row.warnings) body.append(make("p", { className: "warning" }, `⚠ ${text}`));
    body.append(make("p", {}, make("a", { href: `#examples/${row.key}` }, "Its forget examples")));
    const charts = make("div", { className: "charts" });
    body.append(charts);
    const add = (title, note, traces, layout, summary) => {
      const made = chart(title, note, summary);
      charts.append(made.figure);
      return draw(made.plot, traces, layout);
    };
    const drawn = [];
    for (const [set, title] of [["forget", "Confidences on the forget set"], ["retain", "Confidences on the retain set (probe)"]]) {
      const d = values.densities[set];
      if (!d) continue;
      const x = grid(d.low, d.high, d.retrained.length);
      drawn.push(add(title, "all runs and examples; logit-scaled confidence of the true class",
        twoSides(x, d.retrained, d.unlearned), { y: { showticklabels: false }, x: { text: "confidence" } }));
    }
    const e = values.epsilon;
    const total = e.counts.reduce((a, b) => a + b, e.beyond + e.undefined);
    const labels = [...e.counts.map((_, k) => `${(k * e.width).toFixed(1)}`), "beyond"];
    const shares = [...e.counts, e.beyond + e.undefined].map((count) => 100 * count / total);
    const parts = e.counts.map((count, k) => count * e.worth[k] / total);
    const sum = parts.reduce((a, b) => a + b, 0);
    const weights = [...parts.map((part) => sum ? 100 * part / sum : 0), 0];
    const worth = [...e.worth.map((value) => value === 1 ? "1" : `1/${Math.round(1 / value)}`), "0"];
    drawn.push(add("ε of the forget examples, and what F is made of",
      `bins of ${e.width}; an example in the first bin is worth 1, in each next bin half as much` + (e.undefined ? `; ${e.undefined} undefined count as beyond` : ""),
      [
        { type: "bar", name: "share of the examples", x: labels, y: shares, customdata: worth, marker: { color: c.retrained },
          hovertemplate: "%{y:.1f}% of the examples, worth %{customdata} each<extra></extra>" },
        { type: "bar", name: "share of F", x: labels, y: weights, hovertemplate: "%{y:.1f}% of F<extra></extra>",
          marker: { color: c.unlearned, pattern: { shape: "/", bgcolor: c.unlearned, fgcolor: c.card, size: 6, solidity: 0.2 } } },
      ],
      { x: { text: "ε from", type: "category" }, y: { ticksuffix: "%" }, bargap: 0.15 },
      `Histogram of epsilon: ${e.beyond} of ${total} examples are beyond the last bin and give no points.`));
    const at = values.convergence;
    if (at.length) {
      const traces = [{
        name: "F", x: at.map((p) => p[0]), y: at.map((p) => p[1]), mode: "lines+markers",
        error_y: { type: "data", array: at.map((p) => p[2] || 0), color: c.unlearned }, line: { color: c.unlearned }, marker: { size: 8 },
      }];
      if (board.ceiling !== null) {
        traces.push(line("ceiling", [at[0][0], at[at.length - 1][0]], [board.ceiling, board.ceiling], c.ink, { line: { dash: "dash" } }));
      }
      drawn.push(add("F against N", "mean and standard deviation over disjoint banks of so many runs", traces,
        { x: { text: "runs a side", type: "log", tickvals: at.map((p) => p[0]) }, y: { rangemode: "tozero" } }));
    }
    const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
    const dots = (name, y, colour, symbol) => ({ name, x: y.map((_, k) => k), y, mode: "markers", marker: { color: colour, symbol, size: 5, opacity: 0.75 } });
    const kinds = [["retain", c.retrained, "circle"], ["test", c.unlearned, "x"]]
      .filter(([kind]) => values.accuracy[kind] && reference.accuracy[kind]);
    if (kinds.length) {
      const ratio = (kind) => values.accuracy[kind].map((value) => value / mean(reference.accuracy[kind]));
      drawn.push(add("Accuracy ratios by run", "accuracy of a run over the mean of the retrained runs",
        kinds.map(([kind, colour, symbol]) => dots(kind, ratio(kind), colour, symbol)), { x: { text: "run" } }));
    }
    if (values.seconds) {
      const traces = [dots("seconds", values.seconds, c.unlearned, "circle")];
      if (reference.seconds) {
        const half = [...reference.seconds].sort((a, b) => a - b)[Math.floor(reference.seconds.length / 2)];
        traces.push(line("retraining", [0, values.seconds.length - 1], [half, half], c.ink, { line: { dash: "dash" } }));
      }
      drawn.push(add("Seconds by run", "dashed: a retraining (median)", traces,
        { x: { text: "run" }, y: { rangemode: "tozero", ticksuffix: " s" } }));
    }
    body.append(make("h3", {}, "Other readings"), make("ul", {}, ...values.readings.map((text) => make("li", {}, text))));
    await Promise.all(drawn);
  };

  /* ---- examples ---- */

  const explorer = { page: 0, key: null, order: null, label: null };

  views.examples = async (current, key, example) => {
    const board = await data("board");
    const row = board.candidates.find((each) => each.key === key) || board.candidates[0];
    if (!row) return none(id("examples-detail"));
    fill(id("examples-choice"), board.candidates, row.key, (event) => { location.hash = `#examples/${event.target.value}/${example || ""}`; });
    const classes = id("examples-class");
    if (classes.options.length === 1) {
      classes.append(...[...new Set(board.targets)].sort((a, b) => a - b).map((label) => make("option", { value: label }, String(label))));
    }
    const [own, retrained] = await Promise.all([examplesOf(row.key), examplesOf("reference"), plotly()]);
    if (!current()) return;
    const order = id("examples-order").value, label = classes.value;
    const wanted = board.targets.map((_, s) => s).filter((s) => label === "" || String(board.targets[s]) === label);
    const value = (s) => Number.isNaN(own.epsilon[s]) ? Infinity : own.epsilon[s];
    if (order !== "index") {
      const sign = order === "worst" ? -1 : 1;
      wanted.sort((a, b) => value(a) === value(b) ? a - b : sign * (value(a) < value(b) ? -1 : 1));
    }
    const chosen = /^\d+$/.test(example || "") && Number(example) < board.targets.length ? Number(example) : wanted[0];
    const pages = Math.max(1, Math.ceil(wanted.length / PAGE));
    if (explorer.key !== row.key || explorer.order !== order || explorer.label !== label) {
      explorer.page = Math.max(0, Math.floor(wanted.indexOf(chosen) / PAGE));
      Object.assign(explorer, { key: row.key, order, label });
    }
    const redraw = () => { if (location.hash.startsWith("#examples")) show(); };
    id("examples-order").onchange = redraw;
    classes.onchange = redraw;
    const turn = (step) => () => { explorer.page = Math.min(pages - 1, Math.max(0, explorer.page + step)); list(); };
    id("examples-back").onclick = turn(-1);
    id("examples-on").onclick = turn(1);

    function list() {
      const group = id("examples-grid");
      const focused = group.contains(document.activeElement) ? document.activeElement.dataset.example : null;
      const buttons = wanted.slice(explorer.page * PAGE, (explorer.page + 1) * PAGE).map((s) => {
        const button = exampleButton(board, s, [`ε ${shownEpsilon(own.epsilon[s])}`, `class ${board.targets[s]}`],
          () => { location.hash = `#examples/${row.key}/${s}`; });
        button.setAttribute("aria-pressed", String(s === chosen));
        button.tabIndex = -1;
        return button;
      });
      (buttons.find((button) => Number(button.dataset.example) === chosen) || buttons[0]).tabIndex = 0;
      group.replaceChildren(...buttons);
      arrows(group);
      const again = focused && buttons.find((button) => button.dataset.example === focused);
      if (again) again.focus({ preventScroll: true });
      id("examples-where").textContent = `${explorer.page * PAGE + 1}–${Math.min(wanted.length, (explorer.page + 1) * PAGE)} of ${wanted.length}`;
      id("examples-back").disabled = explorer.page === 0;
      id("examples-on").disabled = explorer.page === pages - 1;
    }
    list();
    await detail(board, row, own, retrained, chosen);
  };

  function ruleText(rule) {
    if (rule.family === "none") return "No rule survives at this N: ε is undefined, and gives no points.";
    if (rule.family === "shortcut") return "One side's range is below 1 % of the other's: ε is 50 without an attack.";
    const other = rule.positive === "retrained" ? "unlearned" : "retrained";
    const where = rule.family === "single" ? `the confidence is ${rule.low.toFixed(2)} or more`
      : `the confidence is ${rule.low.toFixed(2)} … ${rule.high.toFixed(2)}`;
    return `The best attack calls a run ${rule.positive} where ${where} (shaded), and ${other} elsewhere.`;
  }

  async function detail(board, row, own, retrained, s) {
    const c = colours();
    const rule = own.rule(s), r = retrained.quantiles(s), u = own.quantiles(s);
    const ends = [r[0], u[0], r[QUANTILES - 1], u[QUANTILES - 1], rule.low, rule.high].filter(Number.isFinite);
    const [least, most] = [Math.min(...ends), Math.max(...ends)];
    const room = Math.max(0.08 * (most - least), 0.1);
    const x = grid(least - room, most + room, 240);
    const shapes = [];
    if (Number.isFinite(rule.low)) {
      const right = Number.isFinite(rule.high) ? rule.high : most + room;
      const colour = rule.positive === "retrained" ? c.retrained : c.unlearned;
      shapes.push({ type: "rect", x0: rule.low, x1: right, y0: 0, y1: 1, yref: "paper", fillcolor: colour, opacity: 0.12, line: { width: 0 } });
      for (const at of [rule.low, rule.high].filter(Number.isFinite)) {
        shapes.push({ type: "line", x0: at, x1: at, y0: 0, y1: 1, yref: "paper", line: { color: c.ink, width: 1.5, dash: "dot" } });
      }
    }
    const epsilon = own.epsilon[s], text = ruleText(rule);
    const head = make("div", { className: "detail-head" }, picture(board, s, 96), make("div", {},
      make("h3", {}, `Image ${board.indices[s]}, class ${board.targets[s]}`),
      make("p", {}, `ε = ${shownEpsilon(epsilon)}: worth ${number(points(epsilon, own.bins))} of 1 in F. `,
        `Classified correctly by ${percent(retrained.correct(s))} of the retrained and ${percent(own.correct(s))} of the unlearned runs.`)));
    const made = chart(`${row.name}: both distributions of this image`, text, `Distributions of image ${board.indices[s]}. ${text}`);
    made.figure.dataset.example = s;
    id("examples-detail").replaceChildren(head, made.figure);
    await draw(made.plot, twoSides(x, density(r, x), density(u, x)),
      { shapes, x: { text: "logit-scaled confidence of the true class", range: [x[0], x[x.length - 1]] }, y: { showticklabels: false, rangemode: "tozero" } });
  }

  /* ---- head-to-head ---- */

  views.versus = async (current, one, other) => {
    const board = await data("board");
    const body = id("versus-body");
    const rows = board.candidates;
    if (rows.length < 2) {
      body.replaceChildren(make("p", { className: "note" }, "Two scored candidates are needed."));
      return;
    }
    const first = rows.find((row) => row.key === one) || rows[0];
    const second = rows.find((row) => row.key === other) || rows.find((row) => row !== first);
    fill(id("versus-first"), rows, first.key, (event) => { location.hash = `#versus/${event.target.value}/${second.key}`; });
    fill(id("versus-second"), rows, second.key, (event) => { location.hash = `#versus/${first.key}/${event.target.value}`; });
    const [a, b, pairs] = await Promise.all([examplesOf(first.key), examplesOf(second.key), data("pairs"), plotly()]);
    if (!current()) return;
    const c = colours();
    const verdict = pairs[`${first.key} ${second.key}`] || pairs[`${second.key} ${first.key}`]
      || "The same candidate on both sides";
    const count = board.targets.length;
    const cap = Math.max(a.bins.counts.length, b.bins.counts.length) * a.bins.width + 0.5;
    const known = board.targets.map((_, s) => s).filter((s) => !Number.isNaN(a.epsilon[s]) && !Number.isNaN(b.epsilon[s]));
    const capped = (side) => known.map((s) => Math.min(side.epsilon[s], cap));
    const worse = known.filter((s) => a.epsilon[s] > b.epsilon[s]).length, better = known.filter((s) => a.epsilon[s] < b.epsilon[s]).length;
    const summary = `${first.name} has the smaller ε on ${better} of ${count} images, ${second.name} on ${worse}.`;
    const made = chart("ε against ε", "one mark an image; below the diagonal the second is the better one. "
      + `Above ${cap - 0.5} both give no points and are drawn at the edge.`, summary);
    const lists = make("div");
    body.replaceChildren(make("p", {}, make("b", {}, `${verdict.replace(/\.$/, "")}.`), ` ${summary}`), make("div", { className: "versus" }, made.figure, lists));
    const ticks = Array.from({ length: Math.floor(cap - 0.5) + 1 }, (_, k) => k);
    const axis = (text) => ({ text, range: [-0.15, cap + 0.25], tickvals: [...ticks, cap], ticktext: [...ticks.map(String), "more"] });
    await draw(made.plot, [
      { x: [0, cap], y: [0, cap], mode: "lines", line: { color: c.muted, dash: "dash", width: 1 }, hoverinfo: "skip" },
      {
        x: capped(a), y: capped(b), mode: "markers", marker: { color: c.retrained, size: count > 1000 ? 4 : 7, opacity: 0.55 },
        text: known.map((s) => `image ${board.indices[s]}, class ${board.targets[s]}`), customdata: known,
        hovertemplate: "%{text}<br>%{x:.2f} against %{y:.2f}<extra></extra>",
      },
    ], { showlegend: false, x: axis(`ε of ${plain(first.name)}`), y: axis(`ε of ${plain(second.name)}`) });
    made.plot.on("plotly_click", (event) => {
      const s = event.points[0].customdata;
      if (s !== undefined) location.hash = `#examples/${first.key}/${s}`;
    });
    for (const [good, bad, goodRow, badRow] of [[a, b, first, second], [b, a, second, first]]) {
      const gain = (s) => points(good.epsilon[s], good.bins) - points(bad.epsilon[s], bad.bins);
      const most = known.filter((s) => good.epsilon[s] < bad.epsilon[s])
        .sort((s, t) => gain(t) - gain(s) || (bad.epsilon[t] - good.epsilon[t]) - (bad.epsilon[s] - good.epsilon[s])).slice(0, DIFFERENT);
      const group = make("div", { className: "examples" }, ...most.map((s) => exampleButton(board, s,
        [`ε ${shownEpsilon(good.epsilon[s])}`, `v ${shownEpsilon(bad.epsilon[s])}`],
        () => { location.hash = `#examples/${badRow.key}/${s}`; })));
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", `Images on which ${goodRow.name} is the better one`);
      arrows(group);
      lists.append(make("h3", {}, `Where ${goodRow.name} is better`), most.length ? group : make("p", { className: "note" }, "On no image."));
    }
  };
}

"use strict";
/* Loads data, sorts the board, shows one view at a time by the address's #hash. The views themselves: views.js. */
const forget512 = (() => {
  const arrived = new Map();
  const views = {}; // name -> function(...parts of the hash), filled by views.js

  /* Called by the script files under data/: a page on disk may load scripts, but not read files. */
  const take = (name, values) => arrived.set(name, values);

  function script(source) {
    return new Promise((done, failed) => {
      const element = document.createElement("script");
      element.src = source;
      element.onload = done;
      element.onerror = () => failed(new Error(`${source} is missing in the folder of this page`));
      document.head.append(element);
    });
  }

  const loading = new Map();
  function once(key, start) {
    if (!loading.has(key)) loading.set(key, start());
    return loading.get(key);
  }
  const data = (name) => arrived.has(name) ? Promise.resolve(arrived.get(name))
    : once(name, async () => { await script(`data/${name}.js`); return arrived.get(name); });
  const plotly = () => once("plotly", () => script("plotly.min.js"));

  /* base64 of deflated bytes, as page_data.py packs them. */
  async function unpack(text) {
    if (!window.DecompressionStream) throw new Error("this browser is too old for the packed data (2023 or newer)");
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  let shown = 0;
  async function show() {
    const [wanted, ...parts] = location.hash.slice(1).split("/");
    const name = document.getElementById(`view-${wanted}`) ? wanted : "board";
    for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== `view-${name}`;
    for (const link of document.querySelectorAll("nav a")) {
      if (link.getAttribute("href") === `#${name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    for (const old of document.querySelectorAll(".failed")) old.remove();
    const number = ++shown; // a view that arrives after the next one was asked for must not be drawn
    if (views[name]) {
      try {
        await views[name](() => number === shown, ...parts);
      } catch (error) {
        const note = document.createElement("p");
        note.className = "warning failed";
        note.textContent = `This view cannot be shown: ${error.message}.`;
        document.getElementById(`view-${name}`).append(note);
      }
    }
  }

  function sort(column, order) {
    const table = document.getElementById("board-table");
    const headers = [...table.querySelectorAll("thead th")];
    const header = table.querySelector(`button[data-sort="${column}"]`).parentElement;
    const first = ["name", "rank", "seconds"].includes(column) ? "ascending" : "descending";
    const opposite = { ascending: "descending", descending: "ascending" };
    const direction = order || (header.hasAttribute("aria-sort") ? opposite[header.getAttribute("aria-sort")] : first);
    for (const each of headers) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const [x, y] = [a.dataset[column], b.dataset[column]];
      if (column === "name") return sign * x.localeCompare(y);
      if (x === "" || y === "") return (x === "") - (y === ""); // unknown ones last, whatever the direction
      return sign * (Number(x) - Number(y));
    });
    table.tBodies[0].append(...rows);
    document.getElementById("sort-by").value = column;
  }

  const THEMES = ["auto", "light", "dark"];
  function theme(name) {
    if (name === "auto") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = name;
    try { localStorage.setItem("forget512-theme", name); } catch { /* a page on disk may have no storage */ }
    const button = document.getElementById("theme");
    button.textContent = `Theme: ${name}`;
    button.setAttribute("aria-label", name === "auto" ? "Colours: system setting" : `Colours: ${name}`);
  }

  document.addEventListener("DOMContentLoaded", () => {
    let current = "auto";
    try { current = localStorage.getItem("forget512-theme") || "auto"; } catch { /* the same */ }
    theme(THEMES.includes(current) ? current : "auto");
    document.getElementById("theme").addEventListener("click", () => {
      current = THEMES[(THEMES.indexOf(current) + 1) % THEMES.length];
      theme(current);
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    for (const button of document.querySelectorAll("thead button[data-sort]")) {
      button.addEventListener("click", () => sort(button.dataset.sort));
    }
    document.getElementById("sort-by").addEventListener("change", (event) => sort(event.target.value));
    window.addEventListener("hashchange", show);
    show();
  });

  return { take, data, plotly, unpack, views, show };
})();

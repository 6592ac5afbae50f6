"""moto's S3 server on the loopback, as a process of its own: real HTTP, real sockets.

It answers one request at a time. moto looks whether a name exists and then writes, which its threads would do side by
side; one at a time, its conditional put is as atomic as S3's. Buckets whose name begins with `overwrites` do not keep
the condition, as servers that are older than it do not.

On standard input: `stop` closes the port (what is stored stays), `start` opens it again, the end of input ends it.
"""

import sys
from threading import Thread

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

moto = DomainDispatcherApplication(create_backend_app)


def app(environ, start_response):
    if environ["PATH_INFO"].startswith("/overwrites"):
        environ.pop("HTTP_IF_NONE_MATCH", None)
    return moto(environ, start_response)


def serve(port):
    server = make_server("127.0.0.1", port, app, threaded=False, request_handler=MotoRequestHandler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


if __name__ == "__main__":
    server = serve(0)
    port = server.port
    print(port, flush=True)
    for line in sys.stdin:
        if line.strip() == "stop":
            server.shutdown()
            server.server_close()
        else:
            server = serve(port)
        print(line.strip(), flush=True)

"""The remote control of Gecko: JSON with its length before it, over TCP."""

import json
import socket
import time

LIMIT = 60


class Marionette:
    """A session that may do what Thunderbird itself may."""

    def __init__(self, port):
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), 5)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.socket.settimeout(LIMIT)
        self.file = self.socket.makefile("rb")
        self.number = 0
        self._receive()
        self._call("WebDriver:NewSession", {"capabilities": {}})
        self._call("Marionette:SetContext", {"value": "chrome"})
        self._call("WebDriver:SetTimeouts", {"script": LIMIT * 1000})

    def run(self, body, *arguments):
        """Runs the body of an asynchronous function, to which `given` are its arguments."""
        script = (
            "const [given, done] = [[...arguments].slice(0, -1), arguments[arguments.length - 1]];"
            "(async () => {" + body + "})()"
            ".then(value => done({ value }), error => done({ error: `${error}\\n${error.stack}` }));"
        )
        parameters = {"script": script, "args": list(arguments), "newSandbox": False, "sandbox": "system"}
        answer = self._call("WebDriver:ExecuteAsyncScript", parameters)["value"]
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("value")

    def until(self, what, body, *arguments):
        """Runs it until it gives something."""
        deadline = time.monotonic() + LIMIT
        while not (value := self.run(body, *arguments)):
            assert time.monotonic() < deadline, f"not within {LIMIT} seconds: {what}"
            time.sleep(0.1)
        return value

    def _call(self, name, parameters):
        self.number += 1
        message = json.dumps([0, self.number, name, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(f"{name}: {error['error']}: {error['message']}")
        return result

    def _receive(self):
        length = b""
        while (octet := self.file.read(1)) != b":":
            if not octet:
                raise EOFError("Thunderbird has gone away")
            length += octet
        return json.loads(self.file.read(int(length)))

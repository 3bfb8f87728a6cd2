"""An SMTP server on loopback that takes mail, or refuses a password or a recipient."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer

REFUSED = "refused@example.org"


class MailServer:
    """What arrived at the server on `port`: recipients, and each letter as text."""

    def __init__(self) -> None:
        self.recipients: list[str] = []
        self.letters: list[str] = []
        self.takes_password = True
        self.port = 0

    def answer(self, line: str) -> str:
        """To a command of RFC 5321 or 4954, as far as smtplib gives them."""
        word, _, rest = line.partition(" ")
        match word.upper():
            case "EHLO":
                return "250-here\r\n250 AUTH PLAIN"
            case "AUTH":
                return "235 yes" if self.takes_password else f"535 no: {rest}"
            case "RCPT" if REFUSED in rest:
                return "550 no such user"
            case "RCPT":
                self.recipients.append(rest)
            case "DATA":
                return "354 go on"
            case "QUIT":
                return "221 bye"
        return "250 yes"


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A server for the time of the block."""
    mail = MailServer()

    class Handler(StreamRequestHandler):
        def say(self, text):
            self.wfile.write(f"{text}\r\n".encode())

        def lines(self):
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                yield line

        def handle(self):
            self.say("220 here")
            for line in self.lines():
                answer = mail.answer(line)
                self.say(answer)
                if answer.startswith("354"):
                    letter = []
                    while (part := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                        letter.append(part)
                    mail.letters.append("\n".join(letter))
                    self.say("250 taken")

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        mail.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield mail
        finally:
            server.shutdown()

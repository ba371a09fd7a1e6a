"""Sending mail: one message to one address, by the operator's SMTP server (RFC 5321), in a thread."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from typing import Final

import trio

from proxy.settings import Mail

_SECONDS: Final = 15.0
_limiter = trio.CapacityLimiter(2)


class MailError(Exception):
    """A message was not taken; the text holds no address and no password."""


async def send(mail: Mail, to: str, subject: str, text: str) -> None:
    """Send a message. Cancelling leaves the thread to its end, which is near.

    Raises:
        MailError: no server is set, it could not be reached, or it refused.
    """
    if not mail.host:
        raise MailError("no server is set")
    message = EmailMessage()
    try:
        message["From"], message["To"], message["Subject"] = mail.sender, to, subject
        message.set_content(text)
        await trio.to_thread.run_sync(_send, mail, message, limiter=_limiter, abandon_on_cancel=True)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise MailError(type(error).__name__) from None


def _send(mail: Mail, message: EmailMessage) -> None:
    context = ssl.create_default_context(cafile=mail.ca_file)
    if mail.tls == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, timeout=_SECONDS, context=context)
    else:
        server = smtplib.SMTP(mail.host, mail.port, timeout=_SECONDS)
    with server:
        if mail.tls == "starttls":
            server.starttls(context=context)
        if mail.username:
            server.login(mail.username, mail.password or "")
        server.send_message(message)

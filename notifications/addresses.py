"""Where messages go: what may be an address, and what of it is shown. Nothing here is dialled."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PORTS = {"http": 80, "https": 443}
MAILBOX = re.compile(r"[^@\s,<>\"]+@[^@\s,<>\"/:]+")
MOST_MAILBOXES = 20
SEEN = re.compile(r"[^\s\x00-\x1f\x7f]+")

PARAMETERS_OF_FILES = frozenset({"attach", "keyfile", "subfile"})
TEMPLATES_IN_FILES = frozenset({"discord", "guilded", "slack", "tgram", "workflow", "workflows"})

APPRISE = frozenset(
    """
    46elks acs apprise apprises atalk awswhatsapp azure bale bark barks betterstack bluesky brevo
    bsky bulksms bulkvs burstsms chanify clickatell clicksend cliq cm d7sms dapnet dingtalk
    discord dot eight00com elks emby embys enigma2 enigma2s evolution evolutions exotel feishu
    firehydrant flock flowtriq flowtriqs fluxer fluxers form forms freemobile gchat github goalert
    goalerts gorush gorushs gotify gotifys groundmail groupme guilded gupshup hassio hassios
    httpsms humhub humhubs ifttt ilert incidentio infobip jellyfin jellyfins jira join json jsons
    kakao kakaotalk kaleyra kavenegar klr kodi kodis kook kudosity kumulos lametric lametrics lark
    lauther lfg line mailersend mailgun mastodon mastodons matrix matrixs misskey misskeys mmost
    mmosts mobilemessage mobilemsg msg91 msgbird ncloud nclouds nctalk nctalks nexmo notica
    noticas notifiarr notifico notificos notifyapp notifyre ntfy ntfys o365 octopush onebot
    onebots onesignal opsgenie opsimate opsimates pagerduty pagertree parsep parseps pbul pinglet
    pinglets pingram pjet pjets plivo postmark pover prowl psafer psafers push pushdeer pushdeers
    pushed pushme pushplus pushward pushy qq reddit resend revolt ringc rocket rockets ryver schan
    sendgrid sendpulse serwersms ses session sessions seven sfr signal signalgrid signals signl4
    simplepush sinch slack smsc smseagle smseagles smsmanager smsmgr smstunnel smtp2go sns sogs
    sparkpost spike splunk spugpush spush squadcast stackfield strmlabs synology synologys
    telesign telnyx tgram threema toot toots trigv trigvs tweet twilio twist twitter viber
    victorops voipms vonage webex wechat wecom wecombot whapi whatsapp workflow workflows wpush
    wxpusher wxteams x xbmc xbmcs xmatters xml xmls youlmk zalo zcliq zohocliq zoom zulip
    """.split()  # noqa: SIM905 - a list of so many is read as words
)
"""What Apprise speaks over HTTP, with nothing but the address; its other schemes are refused."""

NO_WEBHOOK = "Expected an address such as https://hooks.example.com/etl, in ASCII alone."
NO_MAIL = (
    "Expected mailto: and one or more addresses, such as mailto:ops@example.com,on@example.com."
)
NO_APPRISE = "Expected an address of Apprise, such as slack://TOKEN_A/TOKEN_B/TOKEN_C."


def problem_of(kind: str, url: str) -> str | None:
    """Return why a message of this kind cannot go to a URL; None where it can."""
    if kind == "webhook":
        return None if _web_place(url) else NO_WEBHOOK
    if kind == "email":
        return None if mailboxes(url) else NO_MAIL
    if kind == "apprise":
        return _problem_of_apprise(url)
    return None


def shown(kind: str, url: str) -> str:
    """Return what may be told of a URL that is right: scheme, host and port; of Apprise's, where
    anything may be a token, the scheme alone.
    """
    if kind == "email":
        hosts = dict.fromkeys(one.partition("@")[2] for one in mailboxes(url))
        return f"mailto:{','.join(hosts)}"
    if kind == "apprise":
        return url.partition("://")[0].lower()
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or PORTS[parts.scheme]}"


def mailboxes(url: str) -> list[str]:
    """Return the addresses of a `mailto:` URL; none where one of them is none."""
    scheme, _, rest = url.partition(":")
    found = [unquote(part).strip() for part in rest.split(",")]
    is_right = scheme.lower() == "mailto" and len(found) <= MOST_MAILBOXES
    return found if is_right and all(map(MAILBOX.fullmatch, found)) else []


def _problem_of_apprise(url: str) -> str | None:
    scheme, there_is, rest = url.partition("://")
    scheme = scheme.lower()
    if not there_is or not re.fullmatch("[a-z0-9]+", scheme):
        return NO_APPRISE
    if scheme not in APPRISE:
        return (
            f"{scheme}:// is not among the schemes that lead to a service over HTTP; "
            "docs/notifications.md lists them."
        )
    if not SEEN.fullmatch(rest):
        return NO_APPRISE
    of_files = PARAMETERS_OF_FILES | ({"template"} if scheme in TEMPLATES_IN_FILES else set())
    given = {name.strip().lower() for name, _ in parse_qsl(rest.partition("?")[2], True)}
    if found := sorted(given & of_files):
        return f"Messages are text alone, and read no file: leave out {', '.join(found)}."
    return None


def _web_place(url: str) -> SplitResult | None:
    if (
        not url.isascii()
        or any(character <= " " or character == "\x7f" for character in url)
        or "\\" in url
    ):
        return None
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return None
    return parts if parts.scheme in PORTS and parts.hostname and has_port else None

"""Topic templates: rendered for a message, matched back to a charger, and kept from overlapping."""

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ocpp_addon.config import TopicSettings
from ocpp_addon.errors import OptionsError
from ocpp_addon.ocpp.messages import (
    MESSAGE_TYPES,
    Call,
    CallError,
    CallResult,
    CallResultError,
    Message,
    Send,
)

STATE_TOPIC = "ocpp/state/${cid}/+"  # of entities: one JSON object a connector
EVENT_TOPIC = "ocpp/state/${cid}/+/+"  # of entities: what happens, and tags that are shown
SET_TOPIC = "ocpp/set/${cid}/+/+"  # commands of entities

ONLINE, OFFLINE = b"online", b"offline"  # of a charger's presence, of a gateway's and of births

LONGEST_VARIABLE = 64  # characters of ${action} and ${id} in a topic
CACHE_LIMIT = 8192  # rendered topics kept
UNKNOWN_ACTION = "unknown"  # stands for ${action} where a result belongs to no known command

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_CUT_ESCAPE = re.compile(r"%.?\Z")
_BREAKS_TOPICS = frozenset({"Cc", "Cs", "Cn"})


@dataclass(frozen=True, slots=True)
class _Template:
    """A template with its constant variables filled in."""

    option: str
    text: str

    def render(self, variables: dict[str, str]) -> str:
        return _VARIABLE.sub(lambda found: variables[found[1]], self.text)

    @property
    def uses_id(self) -> bool:
        return "${id}" in self.text

    def levels(self) -> list[str]:
        return self.text.split("/")


class Topics:
    """Know every topic of this gateway; OptionsError if the templates contradict each other."""

    def __init__(self, settings: TopicSettings, gateway: str, discovery_prefix: str) -> None:
        def template(option: str, text: str) -> _Template:
            known = {"${clientid}": "${cid}", "${gateway}": gateway}
            for variable, value in known.items():
                text = text.replace(variable, value)
            return _Template(f"topics.{option}", text)

        self._upstream = template("upstream", settings.upstream)
        self._overrides = {
            action: template("upstream_overrides", topic.replace("${action}", _escape(action)))
            for action, topic in settings.upstream_overrides.items()
        }
        self._reply = template("reply", settings.reply)
        self._error = template("error", settings.error)
        self._answer = template("answer", settings.answer)
        self._replay = template("replay", settings.replay) if settings.replay else None
        self._presence = template("presence", settings.presence)
        self._gateway = template("gateway", settings.gateway)
        self._downstream = [template("downstream", text) for text in settings.downstream]
        self._state = _Template("ocpp/state", STATE_TOPIC)
        self._event = _Template("ocpp/state", EVENT_TOPIC)
        self._set = _Template("ocpp/set", SET_TOPIC)
        self._discovery = _Template("discovery_prefix", f"{discovery_prefix}/device/+/config")
        self._discovery_prefix = discovery_prefix
        self._cache: dict[tuple[str, str, str, int], str] = {}
        published = [
            self._upstream,
            *self._overrides.values(),
            self._reply,
            self._error,
            self._answer,
            *([self._replay] if self._replay else []),
            self._presence,
            self._gateway,
        ]
        every = [*published, *self._downstream, self._state, self._set]
        self.literals = frozenset(
            level for one in every for level in one.levels() if level and not _is_wild(level)
        )
        self._refuse_overlaps([*published, self._state, self._event, self._discovery])
        self._refuse_twice()
        self._matchers = [_matcher(one) for one in self._downstream]
        self._set_matcher = _matcher(self._set)
        self._ours = [
            _matcher(one) for one in (*self._downstream, self._state, self._event, self._set)
        ]
        self._ours.append(_matcher(self._presence))

    @property
    def gateway(self) -> str:
        """The retained state of the gateway itself."""
        return self._gateway.text

    def presence(self, charger_id: str) -> str:
        """Return the topic of a charger's retained presence."""
        return self._presence.render({"cid": charger_id})

    def state(self, charger_id: str, connector: int) -> str:
        """Return the topic of a connector's retained state; connector 0 is the charger itself."""
        return f"ocpp/state/{charger_id}/{connector}"

    def event(self, charger_id: str, connector: int) -> str:
        """Return the topic of what happens at a connector; not retained."""
        return f"ocpp/state/{charger_id}/{connector}/event"

    def tag(self, charger_id: str) -> str:
        """Return the topic of tags that are shown to a charger; not retained."""
        return f"ocpp/state/{charger_id}/0/tag"

    def order(self, charger_id: str, connector: int, key: str) -> str:
        """Return the topic on which an entity gives orders."""
        return f"ocpp/set/{charger_id}/{connector}/{key}"

    def discovery(self, device_id: str) -> str:
        """Return the topic on which a device is announced to Home Assistant."""
        return f"{self._discovery_prefix}/device/{device_id}/config"

    @property
    def births(self) -> tuple[str, ...]:
        """The topics on which Home Assistant says that it has started."""
        return tuple({"homeassistant/status": None, f"{self._discovery_prefix}/status": None})

    def upstream(self, charger_id: str, message: Message, action: str | None) -> str:
        """Return the topic of a message that a charger sent."""
        match message:
            case Call() | Send():
                return self._render(
                    self._overrides.get(message.action, self._upstream), charger_id, message, action
                )
            case CallResult():
                return self._render(self._reply, charger_id, message, action)
            case CallError() | CallResultError():
                return self._render(self._error, charger_id, message, action)

    def replay(self, charger_id: str, message: Message, action: str | None) -> str | None:
        """Return where a message goes instead that was stored meanwhile; None: the same topic."""
        if self._replay is None:
            return None
        return self._render(self._replay, charger_id, message, action)

    def answer(self, charger_id: str, message: Message, action: str) -> str:
        """Return the topic of what the built-in central system answered."""
        return self._render(self._answer, charger_id, message, action)

    def filters(self, charger_id: str) -> tuple[str, ...]:
        """Return the filters on which MQTT sends something to a charger."""
        return tuple(one.render({"cid": charger_id}) for one in (*self._downstream, self._set))

    def command(self, charger_id: str, action: str) -> str | None:
        """Return a topic on which a Call for a charger may be published; None if there is none."""
        if not self._downstream:
            return None
        template = self._downstream[0]
        *front, last = template.render({"cid": charger_id}).split("/")
        words = {"+": "Call", "#": "Call"}
        last = _escape(action) if last in words else last
        return "/".join([*(words.get(level, level) for level in front), last])

    def charger(self, topic: str, known: Callable[[str], bool]) -> str | None:
        """Return the known charger that a downstream topic belongs to."""
        return _first_known(self._matchers, topic, known)

    def entity(self, topic: str, known: Callable[[str], bool]) -> tuple[str, str, str] | None:
        """Return (charger, connector, key) of an entity's command topic."""
        found = self._set_matcher.fullmatch(topic)
        if found is None or not known(found["cid"]):
            return None
        connector, key = topic.rsplit("/", 2)[1:]
        return found["cid"], connector, key

    def may_respond_to(self, topic: str) -> bool:
        """Tell whether a Response Topic is a harmless place for an outcome."""
        return (
            bool(topic)
            and len(topic.encode("utf-8", "replace")) <= 1024
            and not any(character in "+#$" for character in topic)
            and not any(unicodedata.category(character) in _BREAKS_TOPICS for character in topic)
            and not any(matcher.fullmatch(topic) for matcher in self._ours)
            and topic != self.gateway
            and not topic.startswith(f"{self._discovery_prefix}/")
        )

    def _render(
        self, template: _Template, charger_id: str, message: Message, action: str | None
    ) -> str:
        name = message.action if isinstance(message, Call | Send) else action or UNKNOWN_ACTION
        type_ = MESSAGE_TYPES[type(message)]
        key = (template.text, charger_id, name, type_)
        topic = self._cache.get(key)
        if topic is not None:
            return topic
        variables = {
            "cid": charger_id,
            "action": _escape(name),
            "id": _escape(str(message.unique_id)),
            "type": str(type_),
        }
        topic = template.render(variables)
        if not template.uses_id and len(name) <= LONGEST_VARIABLE:
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            self._cache[key] = topic
        return topic

    def _refuse_overlaps(self, published: Iterable[_Template]) -> None:
        for topic in published:
            for wanted in (*self._downstream, self._set):
                if self._can_match(wanted.levels(), topic.levels()):
                    raise OptionsError(
                        f"{topic.option}: its topic `{topic.text}` could match the filter"
                        f" `{wanted.text}` of {wanted.option}, and go in circles."
                    )

    def _refuse_twice(self) -> None:
        # A broker may send a message once for each filter that it matches, and none is marked.
        for one, other in itertools.combinations((*self._downstream, self._set), 2):
            if self._can_match(one.levels(), other.levels()):
                raise OptionsError(
                    f"{one.option}: its filter `{one.text}` and `{other.text}` of {other.option}"
                    " could match the same topic, and a command would be executed twice."
                )

    def _can_match(self, wanted: list[str], topic: list[str]) -> bool:
        if "#" in (*wanted[:1], *topic[:1]):
            return True
        if not wanted or not topic:
            return wanted == topic
        return self._level_can_match(wanted[0], topic[0]) and self._can_match(wanted[1:], topic[1:])

    def _level_can_match(self, wanted: str, level: str) -> bool:
        if wanted == "+" or level == "+":
            return True
        if not _is_wild(wanted):
            return wanted == level if not _is_wild(level) else _pattern(level, wanted)
        # No charger may be called like a literal level, so ${cid} alone never matches one.
        if not _is_wild(level):
            return wanted != "${cid}" and _pattern(wanted, level)
        return True


def _is_wild(level: str) -> bool:
    return "${" in level or level in ("+", "#")


def _pattern(level: str, text: str) -> bool:
    parts = _VARIABLE.split(level)[::2]
    return re.fullmatch(".+".join(map(re.escape, parts)), text) is not None


def _matcher(template: _Template) -> re.Pattern[str]:
    """Compile a filter template; its group `cid` is the charger."""
    pattern, named, rest = [], False, ""
    levels = template.levels()
    if levels[-1] == "#":
        levels.pop()
        rest = "(?:/.*)?"  # MQTT 5 4.7.1.2: the level before # alone matches, too
    for level in levels:
        if level == "+":
            pattern.append("[^/]*")
            continue
        text = ""
        for index, part in enumerate(_VARIABLE.split(level)):
            if index % 2 == 0:
                text += re.escape(part)
            elif part == "cid":
                text += "(?P=cid)" if named else "(?P<cid>[^/]+)"
                named = True
            else:
                text += "[^/]+"
        pattern.append(text)
    return re.compile("/".join(pattern) + rest, re.DOTALL)


def _first_known(
    matchers: list[re.Pattern[str]], topic: str, known: Callable[[str], bool]
) -> str | None:
    for matcher in matchers:
        found = matcher.fullmatch(topic)
        if found is not None and known(found["cid"]):
            return found["cid"]
    return None


def _escape(text: str) -> str:
    """Percent-encode what would break a topic, and cut, but through no escape."""
    if text.isalnum() and len(text) <= LONGEST_VARIABLE:
        return text
    escaped = "".join(
        "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
        if character in "/+#%$" or unicodedata.category(character) in _BREAKS_TOPICS
        else character
        for character in text[:LONGEST_VARIABLE]
    )
    return _CUT_ESCAPE.sub("", escaped[:LONGEST_VARIABLE])

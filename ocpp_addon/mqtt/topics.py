"""Every topic of a gateway: of a message, back to its charger, and none that goes in circles."""

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable

from ocpp_addon.config import TopicSettings
from ocpp_addon.errors import OptionsError
from ocpp_addon.mqtt.template import BREAKS_TOPICS, LONGEST_VARIABLE, Template, escape
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

CACHE_LIMIT = 8192  # rendered topics kept
UNKNOWN_ACTION = "unknown"  # stands for ${action} where a result belongs to no known command


class Topics:
    """Know every topic of this gateway; OptionsError if the templates contradict each other."""

    def __init__(self, settings: TopicSettings, gateway: str, discovery_prefix: str) -> None:
        def template(option: str, text: str) -> Template:
            known = {"${clientid}": "${cid}", "${gateway}": gateway}
            for variable, value in known.items():
                text = text.replace(variable, value)
            return Template(f"topics.{option}", text)

        self._upstream = template("upstream", settings.upstream)
        self._overrides = {
            action: template("upstream_overrides", topic.replace("${action}", escape(action)))
            for action, topic in settings.upstream_overrides.items()
        }
        self._reply = template("reply", settings.reply)
        self._error = template("error", settings.error)
        self._answer = template("answer", settings.answer)
        self._replay = template("replay", settings.replay) if settings.replay else None
        self._presence = template("presence", settings.presence)
        self._gateway = template("gateway", settings.gateway)
        self._downstream = [template("downstream", text) for text in settings.downstream]
        self._state = Template("ocpp/state", STATE_TOPIC)
        self._event = Template("ocpp/state", EVENT_TOPIC)
        self._set = Template("ocpp/set", SET_TOPIC)
        self._discovery = Template("discovery_prefix", f"{discovery_prefix}/device/+/config")
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
        self.literals = frozenset(level for one in every for level in one.literals())
        self._refuse_overlaps([*published, self._state, self._event, self._discovery])
        self._refuse_twice()
        self._matchers = [one.matcher() for one in self._downstream]
        self._set_matcher = self._set.matcher()
        self._ours = [
            one.matcher() for one in (*self._downstream, self._state, self._event, self._set)
        ]
        self._ours.append(self._presence.matcher())

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
        last = escape(action) if last in words else last
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
            and not any(unicodedata.category(character) in BREAKS_TOPICS for character in topic)
            and not any(matcher.fullmatch(topic) for matcher in self._ours)
            and topic != self.gateway
            and not topic.startswith(f"{self._discovery_prefix}/")
        )

    def _render(
        self, template: Template, charger_id: str, message: Message, action: str | None
    ) -> str:
        name = message.action if isinstance(message, Call | Send) else action or UNKNOWN_ACTION
        type_ = MESSAGE_TYPES[type(message)]
        key = (template.text, charger_id, name, type_)
        topic = self._cache.get(key)
        if topic is not None:
            return topic
        variables = {
            "cid": charger_id,
            "action": escape(name),
            "id": escape(str(message.unique_id)),
            "type": str(type_),
        }
        topic = template.render(variables)
        if not template.uses_id and len(name) <= LONGEST_VARIABLE:
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            self._cache[key] = topic
        return topic

    def _refuse_overlaps(self, published: Iterable[Template]) -> None:
        for topic in published:
            for wanted in (*self._downstream, self._set):
                if wanted.can_match(topic):
                    raise OptionsError(
                        f"{topic.option}: its topic `{topic.text}` could match the filter"
                        f" `{wanted.text}` of {wanted.option}, and go in circles."
                    )

    def _refuse_twice(self) -> None:
        # A broker may send a message once for each filter that it matches, and none is marked.
        for one, other in itertools.combinations((*self._downstream, self._set), 2):
            if one.can_match(other):
                raise OptionsError(
                    f"{one.option}: its filter `{one.text}` and `{other.text}` of {other.option}"
                    " could match the same topic, and a command would be executed twice."
                )


def _first_known(
    matchers: list[re.Pattern[str]], topic: str, known: Callable[[str], bool]
) -> str | None:
    for matcher in matchers:
        found = matcher.fullmatch(topic)
        if found is not None and known(found["cid"]):
            return found["cid"]
    return None

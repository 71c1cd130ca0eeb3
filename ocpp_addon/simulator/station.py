"""The commands that the simulated charger obeys, on one connection (OCPP 1.6, chapter 5)."""

import math
from typing import Any

from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result
from websockets.asyncio.client import ClientConnection

from ocpp_addon.simulator.charger import SimulatedCharger
from ocpp_addon.simulator.connector import SimulatedConnector

# Configuration keys that may be changed; AuthorizationKey beside them can never be read.
NUMBERS = ("HeartbeatInterval", "MeterValueSampleInterval")


class SimulatedStation(ChargePoint):
    """Answer the central system's Calls for a simulated charger."""

    def __init__(
        self, charger: SimulatedCharger, connection: ClientConnection, answer_timeout: float
    ) -> None:
        super().__init__(charger.id, connection, answer_timeout)
        self._charger = charger

    def _chosen(self, connector_id: int | None) -> list[SimulatedConnector]:
        """Return the connectors that a number means; 0 and none mean all."""
        connectors = self._charger.connectors
        if not connector_id:
            return list(connectors.values())
        return [connectors[connector_id]] if connector_id in connectors else []

    @on("RemoteStartTransaction")
    def _remote_start(
        self,
        id_tag: str,
        connector_id: int | None = None,
        charging_profile: dict[str, Any] | None = None,
    ) -> Any:
        free = [one for one in self._chosen(connector_id) if one.operative and not one.transaction]
        if not free or not self._charger.accepted:
            return call_result.RemoteStartTransaction(status="Rejected")
        self._charger.start(free[0].number, id_tag)
        if charging_profile:
            free[0].set_profile(charging_profile, self._charger.now())
        return call_result.RemoteStartTransaction(status="Accepted")

    @on("RemoteStopTransaction")
    def _remote_stop(self, transaction_id: int) -> Any:
        for connector in self._charger.connectors.values():
            if connector.transaction and connector.transaction.id == transaction_id:
                self._charger.stop(connector.number, "Remote")
                return call_result.RemoteStopTransaction(status="Accepted")
        return call_result.RemoteStopTransaction(status="Rejected")

    @on("SetChargingProfile")
    def _set_profile(self, connector_id: int, cs_charging_profiles: dict[str, Any]) -> Any:
        chosen = self._chosen(connector_id)
        if cs_charging_profiles["charging_profile_purpose"] == "TxProfile":
            chosen = [one for one in chosen if connector_id and one.transaction]
        for connector in chosen:
            connector.set_profile(cs_charging_profiles, self._charger.now())
        self._charger.say_changed_statuses()
        return call_result.SetChargingProfile(status="Accepted" if chosen else "Rejected")

    @on("ClearChargingProfile")
    def _clear_profile(
        self,
        id: int | None = None,
        connector_id: int | None = None,
        charging_profile_purpose: str | None = None,
        stack_level: int | None = None,
    ) -> Any:
        cleared = [
            connector.clear_profiles(self._charger.now(), id, charging_profile_purpose, stack_level)
            for connector in self._chosen(connector_id)
        ]
        self._charger.say_changed_statuses()
        return call_result.ClearChargingProfile(status="Accepted" if any(cleared) else "Unknown")

    @on("GetConfiguration")
    def _get_configuration(self, key: list[str] | None = None) -> Any:
        known = self._charger.configuration
        wanted = key or list(known)
        return call_result.GetConfiguration(
            configuration_key=[
                {"key": one, "readonly": one not in NUMBERS, "value": known[one]}
                for one in wanted
                if one in known
            ],
            unknown_key=[one for one in wanted if one not in known],
        )

    @on("ChangeConfiguration")
    def _change_configuration(self, key: str, value: str) -> Any:
        if key == "AuthorizationKey":
            self._charger.password = value
            return call_result.ChangeConfiguration(status="Accepted")
        if key not in self._charger.configuration:
            return call_result.ChangeConfiguration(status="NotSupported")
        if key not in NUMBERS or not _is_duration(value):
            return call_result.ChangeConfiguration(status="Rejected")
        self._charger.configure(key, value)
        return call_result.ChangeConfiguration(status="Accepted")

    @on("ChangeAvailability")
    def _change_availability(self, connector_id: int, type: str) -> Any:
        chosen = self._chosen(connector_id)
        if not chosen:
            return call_result.ChangeAvailability(status="Rejected")
        for connector in chosen:
            connector.operative = type == "Operative"
        self._charger.say_changed_statuses()
        later = any(one.transaction for one in chosen) and type == "Inoperative"
        return call_result.ChangeAvailability(status="Scheduled" if later else "Accepted")

    @on("UnlockConnector")
    def _unlock(self, connector_id: int) -> Any:
        if connector_id not in self._charger.connectors:
            return call_result.UnlockConnector(status="NotSupported")
        if self._charger.connectors[connector_id].transaction:
            self._charger.stop(connector_id, "UnlockCommand")
        return call_result.UnlockConnector(status="Unlocked")

    @on("Reset")
    def _reset(self, type: str) -> Any:
        return call_result.Reset(status="Accepted")

    @after("Reset")
    def _after_reset(self, type: str) -> None:
        self._charger.reset(f"{type}Reset")

    @on("TriggerMessage")
    def _trigger(self, requested_message: str, connector_id: int | None = None) -> Any:
        known = ("BootNotification", "Heartbeat", "StatusNotification", "MeterValues")
        if requested_message not in known:
            return call_result.TriggerMessage(status="NotImplemented")
        allowed = self._charger.accepted or requested_message == "BootNotification"
        fits = allowed and self._chosen(connector_id)
        return call_result.TriggerMessage(status="Accepted" if fits else "Rejected")

    @after("TriggerMessage")
    def _after_trigger(self, requested_message: str, connector_id: int | None = None) -> None:
        if requested_message == "BootNotification":
            self._charger.boot_again()
        if not self._charger.accepted:
            return
        if requested_message == "Heartbeat":
            self._charger.say(call.Heartbeat)
        for connector in self._chosen(connector_id):
            if requested_message == "StatusNotification":
                self._charger.say_status(connector.number)
            if requested_message == "MeterValues":
                self._charger.say_meter_values(connector.number, "Trigger")

    @on("ClearCache")
    def _clear_cache(self) -> Any:
        return call_result.ClearCache(status="Accepted")

    @on("DataTransfer")
    def _data_transfer(self, vendor_id: str, **_: Any) -> Any:
        return call_result.DataTransfer(status="UnknownVendorId")


def _is_duration(value: str) -> bool:
    try:
        seconds = float(value)
    except ValueError:
        return False
    return math.isfinite(seconds) and seconds >= 0

"""Which actions are commands for a charger: all that are not for its central system alone."""

from collections.abc import Iterable

_OF_CHARGERS = frozenset(
    {
        # 1.6 and its security whitepaper
        *("Authorize", "BootNotification", "DiagnosticsStatusNotification"),
        *("FirmwareStatusNotification", "Heartbeat", "LogStatusNotification", "MeterValues"),
        *("SecurityEventNotification", "SignCertificate", "SignedFirmwareStatusNotification"),
        *("StartTransaction", "StatusNotification", "StopTransaction"),
        # 2.0.1
        *("ClearedChargingLimit", "Get15118EVCertificate", "GetCertificateStatus"),
        *("NotifyChargingLimit", "NotifyCustomerInformation", "NotifyDisplayMessages"),
        *("NotifyEVChargingNeeds", "NotifyEVChargingSchedule", "NotifyEvent"),
        *("NotifyMonitoringReport", "NotifyReport", "PublishFirmwareStatusNotification"),
        *("ReportChargingProfiles", "ReservationStatusUpdate", "TransactionEvent"),
        # 2.1
        *("BatterySwap", "ClosePeriodicEventStream", "GetCertificateChainStatus"),
        *("NotifyDERAlarm", "NotifyDERStartStop", "NotifyPriorityCharging", "NotifySettlement"),
        *("OpenPeriodicEventStream", "PullDynamicScheduleUpdate", "ReportDERControl"),
        "VatNumberValidation",
    }
)


def commands(actions: Iterable[str]) -> list[str]:
    """Return the actions of one version that a charger may be sent, in order."""
    return sorted(set(actions) - _OF_CHARGERS)

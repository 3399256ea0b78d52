"""The mathematics: arrays in, arrays out. Knows no framework and no store."""

from nudge_integrations.methods.base import Method
from nudge_integrations.methods.fit import Fit
from nudge_integrations.methods.judgments import Judgments
from nudge_integrations.methods.nudge_c import NudgeC
from nudge_integrations.methods.paper import NudgeM, NudgeN
from nudge_integrations.methods.registry import get_method

__all__ = ["Fit", "Judgments", "Method", "NudgeC", "NudgeM", "NudgeN", "get_method"]

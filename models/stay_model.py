"""The model of a stay: state in, step in, state and risk out. The one code path of files and streams.

A result belongs to a stay alone: to the last bit it does not depend on which other stays are in the batch, how many
they are, or where in it the stay stands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models import past
from models.attribution import IntegratedGradients
from models.doubt import DoubtRule, Doubts, Known
from models.features import NEVER, PAST_HOURS, STATE_FIELDS, FeatureState, Scaling, clock_features
from models.lstm import Lstm, Weights
from models.manifest import Manifest
from models.step_input import HIDEABLE, StepInput, masked
from models.vital_signs import NAMES

__all__ = ["HIDEABLE", "RISK_DIGITS", "StayModel", "StepInput", "masked"]

RISK_DIGITS = 6  # decimals of a risk: topic, alerts and files agree on the rounded number


class StayModel:
    """A loaded artefact. Holds no stay's data; may be shared by threads."""

    def __init__(self, manifest: Manifest, digest: str, weights: Weights) -> None:
        """Take parts that fit together (`artifact.load_model` has checked them)."""
        self.name = manifest.name
        self.version = manifest.version
        self.digest = digest  # of the manifest's file, which names the digest of the weights'
        self.manifest = manifest
        self.weights = weights
        self.utility_threshold = manifest.thresholds.utility
        scales = [manifest.scaling[name] for name in NAMES]
        self.scaling = Scaling(
            mean=np.array([scale.mean for scale in scales], dtype=np.float32),
            deviation=np.array([scale.deviation for scale in scales], dtype=np.float32),
        )
        self._doubt = DoubtRule(manifest.assessable, manifest.doubt, self.scaling)
        self._lstm = Lstm(weights)
        self.gradients = IntegratedGradients(weights)
        self._hour_log_odds = np.array(manifest.hour_log_odds) if manifest.hour_log_odds else None
        hidden = (weights.hidden,)
        self.state_dtype = np.dtype(
            [("h", "<f4", hidden), ("c", "<f4", hidden), *STATE_FIELDS, ("past", past.past_dtype(weights.hidden))]
        )
        self._nothing = self._new_state()[0]
        doubt = self.doubt(self.initial(1), np.zeros(1, dtype=np.int32), np.full(1, np.nan, dtype=np.float32))
        self.doubt_of_nothing = (int(doubt.reason[0]), int(doubt.sign[0]))  # before anything was measured

    def _new_state(self) -> NDArray[np.void]:
        state = np.zeros(1, dtype=self.state_dtype)
        FeatureState.initial(1).write(state)
        state["past"] = past.initial(1, self.weights.hidden)
        return state

    def initial(self, n: int) -> NDArray[np.void]:
        """Return the state (n) of stays of which nothing is known."""
        return np.full(n, self._nothing)

    def advance(
        self, state: NDArray[np.void], inputs: StepInput, *, keep_past: bool = True
    ) -> tuple[NDArray[np.void], NDArray[np.float64]]:
        """Return the state (N) after the step, and its logit (N); the arguments are not changed.

        To be called once for every step of a stay in turn, empty ones included, from its first measurement on: before
        that, a step changes nothing, though its logit says what age, sex and admission alone make of it. Called on the
        open step and its state thrown away, it gives the provisional risk. A late value is taken in before the step's
        own ones, where it is newer than the last known.

        Without `keep_past` the past stays where it was: half the work, for a state that is thrown away or whose risks
        nobody will ask to be explained.
        """
        features = FeatureState.read(state)
        x = self.network_row(features, inputs)
        h, c = np.ascontiguousarray(state["h"]), np.ascontiguousarray(state["c"])
        new_h, new_c = self._lstm.step(x, h, c)
        after = np.empty(len(state), dtype=self.state_dtype)
        features.write(after)
        started = features.started[:, None]
        after["h"] = np.where(started, new_h, h)
        after["c"] = np.where(started, new_c, c)
        after["past"] = state["past"]
        if keep_past:
            self._advance_past(after["past"], features, inputs)
        return after, self._lstm.logit(new_h) + self.hour_log_odds(inputs.step)

    def look(
        self, state: NDArray[np.void], index: NDArray[np.intp], inputs: StepInput
    ) -> tuple[NDArray[np.float64], Doubts]:
        """Return logit and doubts (N) that `advance` would come to from the states at `index` (N), and keep nothing.

        An index may stand there several times: what if its open step were this, or that.
        """
        features = FeatureState.read(state, index)
        x = self.network_row(features, inputs)
        h, _ = self._lstm.step(x, state["h"][index], state["c"][index])
        doubts = self._doubt.of(Known(features.window, features.last_step, inputs.step, inputs.age_years))
        return self._lstm.logit(h) + self.hour_log_odds(inputs.step), doubts

    def network_row(self, features: FeatureState, inputs: StepInput) -> NDArray[np.float32]:
        """Move `features` on by the step and return what the network is shown of it (N, F)."""
        x = features.advance(inputs, self.scaling)
        if self._hour_log_odds is not None:
            x = np.concatenate([x, clock_features(inputs.step)], axis=1)
        return x

    def hour_log_odds(self, step: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return what the hour of the stay alone adds to the logit (N); 0 for a model that does not see the clock."""
        if self._hour_log_odds is None:
            return np.zeros(len(step))
        odds: NDArray[np.float64] = self._hour_log_odds[np.clip(step, 0, len(self._hour_log_odds) - 1)]
        return odds

    def _advance_past(self, kept: NDArray[np.void], features: FeatureState, inputs: StepInput) -> None:
        """Move the past (N) on, in place, over the hour that `features` have just put behind the span."""
        then = past.before(kept, features, PAST_HOURS + 1, self.scaling)
        x = self.network_row(then, past.hours_since(features, inputs, PAST_HOURS, PAST_HOURS)[0])
        h, c = kept["h"].astype(np.float32), kept["c"].astype(np.float32)
        new_h, new_c = self._lstm.step(x, h, c)
        started = then.started[:, None]
        past.write(kept, then, np.where(started, new_h, h), np.where(started, new_c, c))

    def risk(self, logit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return calibrated probabilities (N) of onset within six hours or already, rounded to six decimals."""
        calibration = self.manifest.calibration
        probability = 1.0 / (1.0 + np.exp(-(calibration.slope * logit + calibration.intercept)))
        rounded: NDArray[np.float64] = np.round(probability, RISK_DIGITS)
        return rounded

    def started(self, state: NDArray[np.void]) -> NDArray[np.bool_]:
        """Return for which stays (N) anything was ever measured; before that a step changes nothing."""
        return np.array(state["started"], dtype=np.bool_)

    def last_known(
        self, state: NDArray[np.void], step: NDArray[np.int32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the last value of each vital sign and its age in steps at `step` (N, 7 each); NaN: never measured."""
        last = np.ascontiguousarray(state["last_step"])
        known = last > NEVER
        age = np.where(known, step[:, None] - last, 0).astype(np.float32)
        return np.array(state["last_value"], order="C"), np.where(known, age, np.float32(np.nan))

    def doubt(self, state: NDArray[np.void], step: NDArray[np.int32], age_years: NDArray[np.float32]) -> Doubts:
        """Return why the risk after `step` (N) means nothing, if so, and which vital sign would settle it.

        `state` is what `advance` returned for the step; `age_years` (N) is NaN where not known.
        """
        return self._doubt.of(Known.of(state, step, age_years))

    def assessable(
        self, state: NDArray[np.void], step: NDArray[np.int32], age_years: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Return for which stays (N) there is no such doubt."""
        return self.doubt(state, step, age_years).assessable

    def strangeness(
        self, state: NDArray[np.void], step: NDArray[np.int32], age_years: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return how unlike the training stays what is known is, in nats (N); empty where the artefact cannot tell."""
        return self._doubt.strangeness(Known.of(state, step, age_years))

"""The brake: numbers by hand, a climb seen where it is, a beta that rises in time and falls no deeper than base."""

import math
import random
import statistics

import pytest

from rlhf.training.ppo.brake import KlBrake

BASE = 0.05


def seen(*measured: float) -> KlBrake:
    brake = KlBrake()
    for kl_nats in measured:
        brake.update(kl_nats)
    return brake


def beta(brake: KlBrake, gain: float = 2.0) -> float:
    return brake.beta(base=BASE, target=4.0, gain=gain)


def test_level_and_trend_by_hand() -> None:
    brake = seen(1.0)
    assert (brake.level, brake.trend) == pytest.approx((0.5, 0.15))
    brake.update(2.0)
    assert brake.level == pytest.approx(0.5 * 2.0 + 0.5 * 0.65)
    assert brake.trend == pytest.approx(0.3 * 0.825 + 0.7 * 0.15)
    assert brake.forecast == pytest.approx(brake.level + brake.trend)


def test_a_straight_climb_is_seen_where_it_is() -> None:
    """A plain average of the same share would stand 1.5 nats lower."""
    climb = [1.5 * step for step in range(20)]
    assert seen(*climb).level == pytest.approx(climb[-1], abs=0.05)


def test_the_noise_of_single_rollouts_is_damped() -> None:
    noise = random.Random(0)
    brake, measured, levels = KlBrake(), [], []
    for _ in range(2000):
        measured.append(noise.gauss(5.0, 0.8))
        brake.update(measured[-1])
        levels.append(brake.level)
    assert statistics.stdev(levels[20:]) < 0.7 * statistics.stdev(measured)


def test_beta_rises_before_the_target_is_passed() -> None:
    brake = seen(0.0, 0.5, 1.5, 2.5, 3.5, 3.9)
    assert brake.level < 4.0
    assert beta(brake) > BASE


def test_beta_by_hand() -> None:
    assert beta(KlBrake(level=4.0, trend=1.0)) == pytest.approx(BASE * math.exp(2.0 * 0.25))
    assert beta(KlBrake(level=40.0)) == pytest.approx(BASE * math.exp(2.0))


def test_beta_lets_go_as_soon_as_the_kl_falls_and_never_below_its_base() -> None:
    high = seen(2.0, 4.0, 6.0, 7.0)
    assert beta(high) > 2 * BASE
    for kl_nats in (3.0, 1.0, 1.0):
        high.update(kl_nats)
    assert beta(high) == BASE
    assert beta(KlBrake(level=-3.0, trend=-1.0)) == BASE


def test_one_rollout_past_the_stop_does_not_end_a_run_and_several_do() -> None:
    brake = seen(0.0, 3.0, 3.5, 4.0, 4.0, 7.0)
    assert not brake.is_past(6.5)
    for kl_nats in (7.0, 7.0):
        brake.update(kl_nats)
    assert brake.is_past(6.5)


def test_a_kl_that_climbs_by_habit_settles_between_target_and_stop() -> None:
    path = braked(integral=0.0)
    assert max(path) < 6.5
    assert all(4.0 < kl_nats < 6.5 for kl_nats in path[-10:])
    assert max(path[-10:]) - min(path[-10:]) < 0.5


def braked(*, integral: float, iterations: int = 40, target: float = 4.0, strength: float = 0.15) -> list[float]:
    """A plant as measured: a nat an iteration without a brake, falling where beta is above what the KL can bear."""
    brake, kl_nats, path = KlBrake(), 0.0, []
    for _ in range(iterations):
        brake.update(kl_nats)
        if integral:
            brake.integrate(target=target, share=integral)
        kl_nats = max(kl_nats + max(-1.0, 1.0 - brake.beta(base=BASE, target=target, gain=2.0) / strength), 0.0)
        path.append(kl_nats)
    return path


@pytest.mark.parametrize("strength", [0.08, 0.15, 0.25])
def test_with_an_integral_the_kl_settles_at_the_target(strength: float) -> None:
    """Whatever there is to be gained: the beta that holds it is twice to five times the base."""
    path = braked(integral=0.2, iterations=60, strength=strength)
    without = braked(integral=0.0, iterations=60, strength=strength)
    assert path[-1] == pytest.approx(4.0, abs=0.2)
    assert without[-1] > 4.0 + 2 * abs(path[-1] - 4.0)
    assert max(path) <= max(without) + 1e-9


def test_the_integral_by_hand_and_not_while_the_kl_is_on_its_way_down() -> None:
    brake = KlBrake(level=5.0, trend=0.1)
    brake.integrate(target=4.0, share=0.2)
    assert brake.integral == pytest.approx(0.2 * 0.25)
    brake.trend = -0.4  # in three iterations it is below the target
    brake.integrate(target=4.0, share=0.2)
    assert brake.integral == pytest.approx(0.05)
    brake.level = 3.0
    brake.integrate(target=4.0, share=0.2)
    assert brake.integral == 0.0


def test_the_integral_is_bounded_and_frozen_at_the_bound_of_beta() -> None:
    brake = KlBrake(level=40.0)
    for _ in range(50):
        brake.integrate(target=4.0, share=0.2)
    assert brake.integral == 0.0  # beta is at its bound without it
    brake = KlBrake(level=6.0)
    for _ in range(50):
        brake.integrate(target=4.0, share=0.2)
    assert brake.integral <= 1.0
    assert beta(brake) == pytest.approx(BASE * math.exp(2.0))
    low = KlBrake(level=1.0, integral=brake.integral)
    assert beta(low) == BASE  # below the target the proportional part lets go at once
    for _ in range(50):
        low.integrate(target=4.0, share=0.2)
    assert low.integral == 0.0

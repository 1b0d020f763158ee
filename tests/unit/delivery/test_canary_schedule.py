"""The canaries of a tripped breaker: when the next one may be sent, and how many are in flight."""

from __future__ import annotations

from crosshaul.delivery.canary_schedule import CanarySchedule
from crosshaul.delivery.retry import RetryPolicy


def schedule(*, refused: bool, at: float = 100.0, initial: float = 1.0, maximum: float = 300.0) -> CanarySchedule:
    canaries = CanarySchedule(RetryPolicy(initial=initial, max=maximum))
    canaries.start(at, 0.5, refused=refused)
    return canaries


def test_each_refused_canary_doubles_the_interval_up_to_the_maximum():
    """The intervals between refused canaries are the delays of the retry policy."""
    canaries = CanarySchedule(RetryPolicy(initial=10.0, max=60.0))
    canaries.start(0.0, 0.99999999, refused=True)
    now, waits = 0.0, []
    for _ in range(5):
        assert canaries.retry_at is not None
        waits.append(round(canaries.retry_at - now))
        now = canaries.retry_at
        assert canaries.is_due(now)
        canaries.add(1, now)
        assert not canaries.is_due(now)
        canaries.record_failure(1, now, 0.99999999)
    assert waits == [10, 20, 40, 60, 60]


def test_an_inconclusive_canary_is_followed_by_another_soon():
    """A canary that could not be read, or changed, is followed by the next one in a tenth of a second."""
    canaries = schedule(refused=True)
    canaries.add(2, 101.0)
    canaries.record_inconclusive(3, 101.0)
    assert 2 in canaries
    canaries.record_inconclusive(2, 101.0)
    assert not canaries.is_due(101.05)
    assert canaries.is_due(101.1)


def test_a_new_file_is_sent_a_second_after_the_last_canary():
    """A file that arrives while the breaker is tripped does not wait for the next interval."""
    canaries = schedule(refused=True)
    assert canaries.next_arrival_at() == 101.0
    canaries.add(2, 101.0)
    assert canaries.next_at() is None


def test_a_new_file_does_not_wait_for_the_deadline_of_a_hung_canary():
    """After five seconds a new file is sent beside a canary in flight; at most four are in flight."""
    canaries = schedule(refused=True)
    for file, at in enumerate([101.0, 106.0, 111.0, 116.0]):
        assert canaries.next_arrival_at() == at
        canaries.add(file, at)
        assert not canaries.is_due(10_000.0)
    assert canaries.next_arrival_at() is None


def test_send_now_brings_the_next_canary_forward():
    """It neither starts a schedule that has not begun, nor delays a canary that is due."""
    canaries = CanarySchedule(RetryPolicy(initial=1.0, max=300.0))
    canaries.send_now(1.0)
    assert canaries.retry_at is None
    canaries.start(100.0, 0.5, refused=True)
    canaries.send_now(100.1)
    assert canaries.retry_at == 100.1
    canaries.send_now(109.0)
    assert canaries.retry_at == 100.1


def test_an_outage_delays_its_recovery_by_at_most_a_quarter_of_its_length():
    """The next canary comes within a second, later within a quarter of the outage, and always within retry.max."""
    canaries, now, times = schedule(refused=False, at=0.0), 0.0, []
    while now < 10_000.0:
        assert canaries.retry_at is not None
        assert canaries.retry_at - now <= max(1.0, now / 4)
        assert canaries.retry_at - now <= 300.0
        now = canaries.retry_at
        times.append(now)
        canaries.add(1, now)
        canaries.record_failure(1, now, 0.999)
    assert len([at for at in times if at < 60]) < 25
    assert len(times) < 100


def test_new_files_are_sent_less_often_in_a_long_outage():
    """New files are sent a second apart at first, and at most ten seconds apart later."""
    canaries, gaps = schedule(refused=False, at=0.0), []
    for now in (1.0, 60.0, 150.0, 3_600.0):
        canaries.add(1, now)
        canaries.record_failure(1, now, 0.5)
        next_at = canaries.next_arrival_at()
        assert next_at is not None
        gaps.append(next_at - now)
    assert gaps == [1.0, 2.0, 5.0, 10.0]

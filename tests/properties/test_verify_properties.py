"""Verification and negotiation over generated inputs: tokens are unique, and a checksum is always sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crosshaul.integrity.negotiation import ChecksumNegotiator
from crosshaul.integrity.verify import token_of
from crosshaul.model import ChecksumKind, Claim, Fingerprint

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4)
STATES = st.tuples(
    st.binary(max_size=4).map(lambda path: path.replace(b"\0", b"0")),
    TEXT,
    *(st.integers(0, 12) for _ in range(4)),
)
KINDS = list(ChecksumKind)


def claim(state: tuple[bytes, str, int, int, int, int]) -> Claim:
    path, key, *print_ = state
    return Claim(1, 1, "r", "d", path, Fingerprint(*print_), key)


@given(STATES, STATES)
def test_tokens_tell_states_apart(one, other):
    """Two claims share a token exactly when path, key and fingerprint are the same."""
    assert (token_of(claim(one)) == token_of(claim(other))) == (one == other)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(KINDS), st.sampled_from([*KINDS, None])), max_size=40))
def test_negotiation_only_goes_down_and_keeps_a_proof(events):
    """For all responses, preference never rises, and an unconfirmed checksum is sent together with MD5."""
    negotiator = ChecksumNegotiator()
    for refused, tried, echoed in events:
        before = KINDS.index(negotiator.preferred)
        if refused:
            negotiator.record_refusal(tried)
        else:
            negotiator.record_echo(tried, echoed)
        assert before <= KINDS.index(negotiator.preferred) <= before + 1
        assert negotiator.confirmed is not None or negotiator.kinds()[-1] is ChecksumKind.MD5


@given(st.sampled_from([None, *KINDS]))
def test_a_store_that_refuses_everything_is_given_up_on(known):
    """Negotiation ends at each starting point when the store refuses every checksum."""
    negotiator, tries = ChecksumNegotiator(known), 1
    while negotiator.record_refusal(negotiator.preferred):
        tries += 1
        assert tries <= len(KINDS)

"""verify: what was sent against what S3 says, and which checksum a store honours."""

from __future__ import annotations

import pytest

from crosshaul.errors import Fault, FaultKind
from crosshaul.integrity.checksum import compute, md5_hex
from crosshaul.integrity.verify import ChecksumNegotiator, HeadResult, UploadResult, check, proves, token_of
from crosshaul.model import ChecksumKind, Claim, Fingerprint

CRC64, CRC32, MD5 = ChecksumKind.CRC64NVME, ChecksumKind.CRC32, ChecksumKind.MD5
SENT = (compute(CRC64, b"bytes"), compute(MD5, b"bytes"))
OTHER = (compute(CRC64, b"others"), compute(MD5, b"others"))
CLAIM = Claim(1, 1, "exports", "partner", b"a/b", Fingerprint(5, 1, 2, 3), "in/a/b")


@pytest.mark.parametrize(
    "answer",
    [
        UploadResult(md5_hex(SENT[1]), SENT[0]),
        UploadResult(md5_hex(SENT[1])),
        UploadResult(""),
        UploadResult(f"{md5_hex(OTHER[1])}-3"),
        UploadResult(md5_hex(OTHER[1]), encrypted_by_kms=True),
        UploadResult(md5_hex(OTHER[1]), SENT[0]),
        UploadResult(md5_hex(SENT[1]), compute(CRC32, b"others")),
    ],
    ids=["all", "only MD5", "nothing", "of parts", "KMS", "no MD5 but a checksum", "a checksum nobody sent"],
)
def test_answers_that_contradict_nothing(answer):
    """An ETag that need not be an MD5, or a checksum that was not sent, contradicts nothing."""
    check("PutObject", SENT, answer)


@pytest.mark.parametrize(
    "answer",
    [
        UploadResult(md5_hex(SENT[1]), OTHER[0]),
        UploadResult(md5_hex(OTHER[1])),
        UploadResult(md5_hex(OTHER[1]), OTHER[0]),
    ],
    ids=["checksum", "MD5", "both"],
)
def test_answers_that_contradict(answer):
    """A checksum, or where there is none an ETag, of other bytes is a fault that says corrupt."""
    with pytest.raises(Fault, match="other bytes than were sent") as caught:
        check("UploadPart", SENT, answer)
    assert caught.value.kind is FaultKind.CORRUPT
    assert caught.value.diagnosis.operation == "UploadPart"


def test_an_answer_without_the_checksum_that_the_store_gives_is_none():
    """Where only a checksum was sent, an ETag alone proves nothing: the answer may be a stranger's."""
    with pytest.raises(Fault) as caught:
        check("PutObject", SENT[:1], UploadResult(md5_hex(OTHER[1])))
    assert (caught.value.kind, caught.value.diagnosis.ambiguous) == (FaultKind.NETWORK, True)


@pytest.mark.parametrize(
    ("answer", "proven"),
    [
        (UploadResult("5f3-62a1c0de", SENT[0]), True),
        (UploadResult(md5_hex(SENT[1])), True),
        (UploadResult("5f3-62a1c0de", encrypted_by_kms=True), True),
        (UploadResult("5f3-62a1c0de"), False),
        (UploadResult("5f3-62a1c0de", compute(CRC32, b"bytes")), False),
    ],
    ids=["a checksum", "an MD5", "KMS", "neither", "a checksum nobody sent"],
)
def test_what_only_a_store_can_say(answer, proven):
    """An ETag of any web server's proves nothing; what was made from the bytes does, and so do AWS's own words."""
    check("PutObject", SENT, answer)
    assert proves(SENT, answer) is proven


def test_a_token_is_of_one_state_of_one_file_under_one_key():
    """Another time, size, path or key makes another token."""
    others = (
        CLAIM._replace(fingerprint=CLAIM.fingerprint._replace(mtime_ns=2)),
        CLAIM._replace(fingerprint=CLAIM.fingerprint._replace(size=9)),
        CLAIM._replace(path=b"other"),
        CLAIM._replace(key="other"),
    )
    assert token_of(CLAIM) not in {token_of(other) for other in others}


@pytest.mark.parametrize(
    ("held", "kinds"),
    [
        (HeadResult(5, None, md5_hex(SENT[1]), SENT[0]), (CRC64, MD5)),
        (HeadResult(5, None, md5_hex(SENT[1])), (MD5,)),
        (HeadResult(5, None, f"{md5_hex(SENT[1])}-2", SENT[0]), (CRC64,)),
        (HeadResult(5, None, md5_hex(SENT[1]), SENT[0], encrypted_by_kms=True), (CRC64,)),
        (HeadResult(5, None, md5_hex(SENT[1]), encrypted_by_kms=True), ()),
    ],
    ids=["both", "an MD5", "parts", "KMS", "nothing"],
)
def test_what_head_shows_is_held_against_the_bytes_as_far_as_it_goes(held, kinds):
    """An object's checksum tells, and its ETag where that is an MD5: of one request, and not under KMS."""
    assert held.comparable == kinds
    assert all(held.holds(each) for each in SENT if each.kind in kinds)
    other = (compute(CRC64, b"other"), compute(MD5, b"other"))
    assert not any(held.holds(each) for each in other if each.kind in kinds)


def test_the_token_outlives_a_lost_journal():
    """It is made from the file alone: not from the journal's id, generation, tries or the route's name."""
    other = CLAIM._replace(id=9, generation=7, attempts=3, ambiguous=True, route="renamed", destination="renamed")
    assert token_of(other) == token_of(CLAIM)


# The ladder


def test_while_unknown_md5_goes_along():
    """A store not seen yet is sent the best checksum and the one that every store checks."""
    ladder = ChecksumNegotiator()
    assert ladder.kinds() == (CRC64, MD5)
    assert ladder.known is None


def test_an_echo_settles_it():
    """Once the store has echoed a checksum, that one goes alone, and this is told once."""
    ladder = ChecksumNegotiator()
    assert ladder.learn(CRC64, CRC64) is True
    assert ladder.learn(CRC64, CRC64) is False
    assert ladder.kinds() == (CRC64,)
    assert ladder.known is CRC64


def test_what_is_ignored_is_not_asked_for_again():
    """A store that echoes nothing is led down rung by rung to Content-MD5."""
    ladder = ChecksumNegotiator()
    assert ladder.learn(CRC64, None) is False
    assert ladder.learn(CRC64, None) is False
    assert ladder.kinds() == (CRC32, MD5)
    assert ladder.learn(CRC32, CRC64) is True
    assert ladder.known is MD5
    assert ladder.kinds() == (MD5,)
    assert ladder.learn(MD5, None) is False


def test_refusals_lead_down_and_end():
    """Each refusal of what is in question leads one rung down, and the last one has no other."""
    ladder = ChecksumNegotiator()
    assert [ladder.refuse(CRC64), ladder.refuse(CRC32), ladder.refuse(MD5)] == [True, True, False]
    assert ladder.kind is MD5


def test_a_late_refusal_of_what_was_given_up_already():
    """A try that was under way with the former checksum is simply sent again with the present one."""
    ladder = ChecksumNegotiator()
    ladder.refuse(CRC64)
    assert ladder.refuse(CRC64) is True
    assert ladder.kind is CRC32


def test_one_odd_refusal_takes_nothing_from_the_others():
    """A checksum seen to be honoured is given up only if it is refused again before it is honoured again."""
    ladder = ChecksumNegotiator(CRC64)
    assert ladder.refuse(CRC64) is False
    assert ladder.kinds() == (CRC64, MD5)
    assert ladder.learn(CRC64, CRC64) is True
    assert ladder.refuse(CRC64) is False
    assert ladder.refuse(CRC64) is True
    assert ladder.kind is CRC32


def test_another_store_behind_the_name():
    """A store that stops echoing what it once did is in question again: MD5 goes along from the next upload on."""
    ladder = ChecksumNegotiator(CRC64)
    assert ladder.learn(CRC64, None) is False
    assert ladder.kinds() == (CRC64, MD5)


@pytest.mark.parametrize("kind", list(ChecksumKind))
def test_what_was_known_before_a_restart_is_used_at_once(kind):
    """A ladder starts where the journal says that the last one ended."""
    assert ChecksumNegotiator(kind).kinds() == (kind,)
    assert ChecksumNegotiator(kind).known is kind

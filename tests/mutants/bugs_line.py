"""Deliberate bugs of the network path: names, deadlines, bandwidth, and the documents for the partner."""

from __future__ import annotations

from bugs import bug

BUGS = (
    # Names
    bug(
        "names that hang in the resolver take the threads that everybody needs",
        "service/builder.py",
        "    http1.install_resolver()\n    gc.freeze()",
        "    gc.freeze()",
        "tests/outages/test_isolation.py -k names",
    ),
    bug(
        "each file of a destination whose name hangs begins a lookup of its own",
        "aws/http1/resolver.py",
        "        if lookup is None:\n",
        "        if True:\n",
        "tests/unit/aws/test_http1_connector.py",
    ),
    bug(
        "an outage looks the name up for each try",
        "aws/http1/resolver.py",
        "self._due = min(self._due, self._requested_at + _PAUSE_SECONDS)",
        "self._due = 0.0",
        "tests/unit/aws/test_http1_connector.py",
    ),
    bug(
        "new connections wait for a lookup that hangs although addresses are known",
        "aws/http1/resolver.py",
        "if not self._known and self._lookup is not None:",
        "if self._lookup is not None:",
        "tests/unit/aws/test_http1_connector.py",
    ),
    # Deadlines
    bug(
        "a body that moves is given up after a while",
        "aws/http1/watchdog.py",
        "if moved != self._moved or self._sender.waits_for_turn:",
        "if self._sender.waits_for_turn:",
        "tests/unit/aws/test_http1.py tests/faults/test_slow_line.py",
    ),
    bug(
        "an answer is waited for no longer than a body may stand still",
        "aws/http1/watchdog.py",
        "elif now - self.received_at >= self._deadlines.response:",
        "elif now - self.received_at >= self._deadlines.progress:",
        "tests/unit/aws/test_http1.py",
    ),
    bug(
        "a part whose answer is late each time is sent for ever",
        "aws/timeouts.py",
        "2.0 ** self._given_up.get(request, 0)",
        "1.0",
        "tests/unit/aws/test_timeouts.py",
    ),
    bug(
        "a store that answers late costs each part a wasted attempt",
        "aws/timeouts.py",
        "        if waited > self._recent_wait(now):\n",
        "        if False:\n",
        "tests/faults/test_slow_line.py",
    ),
    bug(
        "a peer that takes a byte a minute holds a connection for ever",
        "aws/http1/watchdog.py",
        "if moved < (_TRICKLE_ALONE_BYTES if alone else _TRICKLE_BYTES):",
        "if moved < 0:",
        "tests/unit/aws/test_http1.py",
    ),
    # The line
    bug(
        "all parts share a slow line, and a break costs them all",
        "concurrency/send_window.py",
        "return bodies < self._bodies or in_flight + size <= self._bytes()",
        "return True",
        "tests/unit/concurrency/test_adaptive_limit.py",
    ),
    bug(
        "a line on which each connection is slow is left half empty",
        "concurrency/send_window.py",
        "if self._baseline is not None or self._until_trial <= 0:",
        "if False:",
        "tests/unit/concurrency/test_adaptive_limit.py",
    ),
    # The bandwidth limit
    bug(
        "turns of connections that are gone stay reserved",
        "concurrency/bandwidth.py",
        "            if not turn.done():  # else it was cancelled\n",
        "            if True:\n",
        "tests/unit/concurrency/test_bandwidth.py",
    ),
    bug(
        "a raised limit acts when the old one's debt is paid",
        "concurrency/bandwidth.py",
        "        self._second = -1\n        self._serve()\n",
        "        self._second = -1\n",
        "tests/unit/concurrency/test_bandwidth.py",
    ),
    bug(
        "a small file for one destination waits behind a backlog for another",
        "concurrency/bandwidth.py",
        "                self._ring.rotate(-1)\n",
        "                pass\n",
        "tests/unit/concurrency/test_bandwidth.py",
    ),
    bug(
        "connections wait in silence for their turn until the server closes them",
        "aws/http1/client.py",
        "await self._first_turn(request) if self._pacer else 0\n        try:\n            connection = self.pool.take",
        "0\n        try:\n            connection = self.pool.take",
        "tests/unit/aws/test_http1.py",
    ),
    bug(
        "a turn that no connection used is lost to all",
        "aws/http1/client.py",
        "            self._pacer.give_back(granted)",
        "            pass",
        "tests/unit/aws/test_http1.py",
    ),
    bug(
        "under a limit every file has a connection of its own, and each starves",
        "concurrency/send_window.py",
        "return in_flight + size <= min(self._bytes(), limit * _LIMITED_BODY_SECONDS)",
        "return True",
        "tests/unit/concurrency/test_adaptive_limit.py",
    ),
    # The documents for the partner
    bug(
        "applying what is printed takes away the policy that the partner's bucket has",
        "trust/terraform.py",
        'case "bucket-policy" if self._replace:',
        'case "bucket-policy":',
        "tests/trust/test_policy.py -k merged",
    ),
    bug(
        "the last of two destinations in one bucket takes the rights of the first away",
        "trust/merging.py",
        "            return (to.role_arn,)\n",
        "            return (to.name,)\n",
        "tests/trust/test_documents.py",
    ),
    bug(
        "a destination takes the place of another whose name differs in a sign",
        "trust/rendering.py",
        "            while (kind, unique.lower()) in self._taken:\n",
        "            while False:\n",
        "tests/trust/test_documents.py",
    ),
    bug(
        "a star in key_prefix opens the prefixes of others",
        "aws/session_policy.py",
        "{_literal(prefix)}*",
        "{prefix}*",
        "tests/trust/test_documents.py",
    ),
    bug(
        "a line break in the configuration becomes a resource that an admin applies",
        "trust/rendering.py",
        'return printable(" ".join(reason.split()))',
        "return reason",
        "tests/trust/test_documents.py",
    ),
    bug(
        "the configuration's text is a template that Terraform fills in",
        "trust/terraform.py",
        're.sub(r"([$%]*)([$%])\\{", _no_template, escaped)',
        "escaped",
        "tests/trust/test_documents.py",
    ),
    bug(
        "a principal that is nobody, or everybody, is taken",
        "trust/documents.py",
        "    if match is None:\n",
        "    if False:\n",
        "tests/trust/test_policy.py -k no_identity",
    ),
)

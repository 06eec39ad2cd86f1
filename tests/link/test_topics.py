"""Topics are built and parsed in one place, and names cannot smuggle levels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import LinkError
from edgekit.link.topics import Channel, Topic, fleet_filter, is_device_id, parse_topic, topic


@pytest.mark.parametrize("channel", Channel)
def test_topic_comes_back(channel: Channel) -> None:
    assert parse_topic(topic("home", "b-1", channel)) == Topic("home", "b-1", channel)


def test_filter_has_a_plus_for_the_device_only() -> None:
    assert fleet_filter("x", Channel.REPORTED) == "ek/1/x/+/reported"


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "A", "a" * 33, "ä", "a b", "$sys", "а"])
def test_name_outside_the_alphabet_is_refused(name: str) -> None:
    assert not is_device_id(name)
    with pytest.raises(ValueError, match="is not 1 to 32"):
        topic("home", name, Channel.LOG)


@given(st.text(max_size=60) | st.text(alphabet="ek1/+#abc", max_size=60))
def test_any_text_is_a_topic_or_a_link_error(name: str) -> None:
    try:
        parsed = parse_topic(name)
    except LinkError:
        return
    assert topic(parsed.fleet, parsed.device, parsed.channel) == name

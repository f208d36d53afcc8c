import pytest
from scripted_server import make_case

from evals.config import Config, Profile, Target
from evals.errors import ConfigError
from evals.running.options import read_options
from evals.running.questions import questions
from evals.running.shard import Shard

CONFIG = Config(
    lanes=["server"],
    in_flight=3,
    targets={"a": Target(), "b": Target()},
    profiles={"default": Profile(target="a"), "other": Profile(target="b")},
)


def test_what_is_not_given_comes_from_the_configuration():
    options = read_options({}, CONFIG)
    assert (options.profiles, options.lanes, options.in_flight) == (("default",), ("server",), 3)
    assert options.applied_to(CONFIG) == CONFIG


def test_what_is_given_is_read(tmp_path):
    settings = {"profiles": "all", "lanes": "stream, direct", "shard": "2/3", "resume": tmp_path}
    options = read_options({**settings, "attach": "http://127.0.0.1:1", "in_flight": 2}, CONFIG)
    assert options.profiles[:2] == ("default", "other")
    assert options.lanes == ("stream", "direct")
    assert (options.shard, options.resume, options.in_flight) == (Shard(2, 3), tmp_path, 2)
    targets = options.applied_to(CONFIG).targets
    attached = {name for name, target in targets.items() if target.url == "http://127.0.0.1:1"}
    assert attached == {"a", "b"}  # and no target that `all` implies


def test_a_lane_that_is_named_twice_is_asked_once():
    assert read_options({"lanes": "stream,server,stream"}, CONFIG).lanes == ("stream", "server")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 16384}, r"--max-tokens 16384: it should be less than or equal to 8192"),
        ({"max_tokens": -5}, "--max-tokens -5: it should be greater than or equal to 1"),
        ({"temperature": 9.0}, "--temperature 9.0: it should be less than or equal to 2"),
        ({"in_flight": 0}, "--in-flight 0: it should be greater than or equal to 1"),
        ({"repeat": 0}, "--repeat 0: it should be greater than or equal to 1"),
        ({"port": 70000}, "--port 70000: it should be less than or equal to 65535"),
        ({"repeat": 3}, "--repeat 3 at temperature 0 is one answer 3 times"),
        ({"profiles": "nope"}, "nope"),
        ({"profiles": ","}, "names nothing"),
        ({"lanes": "sideways"}, "sideways"),
        ({"baseline": "/no/such/file"}, "no summary of a run"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_runs(settings, message):
    with pytest.raises(ConfigError, match=message):
        read_options(settings, CONFIG)


def test_each_case_is_asked_in_every_profile_lane_and_repeat_as_chosen():
    settings = {"profiles": "all", "lanes": "server,stream", "repeat": 2, "temperature": 0.5}
    options = read_options(settings, CONFIG)
    asked = [(p, q) for p, q in questions(make_case(), options, CONFIG)]
    assert len({question.key(profile) for profile, question in asked}) == len(asked) == 8
    assert {question.case.temperature for _, question in asked} == {0.5}
    smoke = read_options({"tier": "smoke"}, CONFIG)
    assert list(questions(make_case(), smoke, CONFIG)) == []
    assert [*questions(make_case(profiles=("other",)), read_options({}, CONFIG), CONFIG)] == []

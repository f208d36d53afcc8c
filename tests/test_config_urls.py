from pathlib import Path

import pytest

from evals.config import read_config
from evals.errors import ConfigError


@pytest.mark.parametrize(
    "url", ["http://user:planted@host/v1", "https://host/v1?key=planted", "ftp://host", "nowhere"]
)
def test_a_targets_url_is_checked_when_it_is_read(url: str, tmp_path: Path) -> None:
    (tmp_path / "evals.toml").write_text(f'[targets.default]\nurl = "{url}"\n')
    with pytest.raises(ConfigError, match=r"targets\.default\.url: .*server") as error:
        read_config(tmp_path)
    assert "planted" not in str(error.value)


def test_a_good_one_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "evals.toml").write_text('[targets.default]\nurl = "http://127.0.0.1:8080"\n')
    assert read_config(tmp_path).targets["default"].url == "http://127.0.0.1:8080"

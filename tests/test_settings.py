"""Settings: what is read, what wins, and that everything wrong is said at once, without a secret."""

from __future__ import annotations

import re
import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.settings import Alias, Allowance, Money, Settings, SettingsError, Timeouts, load, split_bind
from proxy.settings.environment import overlay
from proxy.settings.kinds import ORIGIN
from proxy.settings.load import PLAN, SECTIONS
from proxy.settings.models import MODEL, PRICE, complete
from proxy.settings.problems import Problems
from proxy.settings.providers import PROVIDER, TIMEOUTS
from proxy.settings.wellknown import WELL_KNOWN
from proxy.words.money import Rates
from proxy.words.principal import Limits

CANARY = "sk-canary-0123456789abcdef"
EXAMPLE = Path(__file__).parents[1] / "config" / "headrace.toml"


def read(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    file = tmp_path / "headrace.toml"
    file.write_text(text, "utf-8")
    return load(file, environ or {}, here=Path())


def problems(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text, environ)
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value)
    return [line.removeprefix(f"{tmp_path}/") for line in caught.value.problems]


def test_without_a_file_everything_has_its_default() -> None:
    settings = load(None, {}, here=Path())
    assert settings == Settings(providers=settings.providers)
    assert [(provider.name, provider.wire) for provider in settings.providers] == [("sim", "sim")]


def test_data_is_relative_to_the_current_directory() -> None:
    settings = load(None, {}, here=Path("/srv/gateway"))
    assert settings.store.path == Path("/srv/gateway/data/headrace.db")
    assert settings.store.url == "sqlite:////srv/gateway/data/headrace.db"
    assert settings.secrets.dir == Path("/srv/gateway/data/secrets")


def test_well_known_providers_are_on_where_their_key_is_set() -> None:
    environ = {known.variable: f"key-of-{known.name}" for known in WELL_KNOWN} | {"GROQ_API_KEY": ""}
    providers = {provider.name: provider for provider in load(None, environ, here=Path()).providers}
    unplaced = {"groq", "azure", "ollama", "vllm", "llama-cpp"}
    assert providers.keys() == {known.name for known in WELL_KNOWN} - unplaced | {"sim"}
    assert providers["openai"].api_key == "key-of-openai"
    assert providers["openai"].base_url == "https://api.openai.com/v1"
    assert providers["xai"].price_source == "x-ai"
    assert providers["mistral"].stream_options is False
    own = {name: provider.wire for name, provider in providers.items() if provider.wire != "openai"}
    assert own == {"anthropic": "anthropic", "google": "gemini", "sim": "sim"}


@pytest.mark.parametrize(
    ("more", "wire"),
    [
        ("", "gemini"),
        ('base_url = "https://generativelanguage.googleapis.com/v1beta"', "gemini"),
        ('base_url = "https://generativelanguage.googleapis.com/v1beta/openai"', "openai"),
        ('base_url = "http://127.0.0.1:9/v1beta"\nwire = "gemini"', "gemini"),
        ('wire = "openai"', "openai"),
    ],
)
def test_a_provider_elsewhere_than_at_home_speaks_openai_unless_told(
    tmp_path: Path, more: str, wire: str
) -> None:
    google, _sim = read(tmp_path, f'[[providers]]\nname = "google"\n{more}\n').providers
    assert google.wire == wire


def test_a_file_without_providers_keeps_the_well_known_ones(tmp_path: Path) -> None:
    settings = read(tmp_path, "[server]\nworkers = 2\n", {"OPENAI_API_KEY": "key"})
    assert [provider.name for provider in settings.providers] == ["openai", "sim"]
    assert settings.server.workers == 2


def test_a_file_with_providers_has_these_alone(tmp_path: Path) -> None:
    text = """
        [[providers]]
        name = "openai"
        [[providers]]
        name = "local"
        base_url = "http://127.0.0.1:8080/v1/"
        [[providers]]
        name = "sim"
    """
    settings = read(tmp_path, text, {"OPENAI_API_KEY": "key", "GROQ_API_KEY": "unused"})
    openai, local, sim = settings.providers
    assert (openai.base_url, openai.api_key) == ("https://api.openai.com/v1", "key")
    assert (local.wire, local.base_url, local.api_key) == ("openai", "http://127.0.0.1:8080/v1", None)
    assert sim.wire == "sim"


def test_a_key_goes_to_no_other_host_unless_told(tmp_path: Path) -> None:
    text = '[[providers]]\nname = "openai"\nbase_url = "http://elsewhere.example/v1"\n'
    environ = {"OPENAI_API_KEY": "key"}
    assert read(tmp_path, text, environ).providers[0].api_key is None
    assert read(tmp_path, text + 'api_key_env = "OPENAI_API_KEY"', environ).providers[0].api_key == "key"


def test_keys_come_from_the_file_a_variable_or_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "b.key").write_text(f"{CANARY}\n")
    text = f"""
        [[providers]]
        name = "a"
        base_url = "http://a"
        api_key = "{CANARY}"
        [[providers]]
        name = "b"
        base_url = "http://b"
        api_key_file = "b.key"
        [[providers]]
        name = "c"
        base_url = "http://c"
        api_key_env = "MY_KEY"
        [[providers]]
        name = "d"
        base_url = "http://d"
        api_key_env = "NOT_SET"
    """
    settings = read(tmp_path, text, {"MY_KEY": CANARY})
    assert [provider.api_key for provider in settings.providers] == [CANARY, CANARY, CANARY, None, None]
    assert CANARY not in repr(settings)


def test_every_section_is_read(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    (tmp_path / "key.pem").touch()
    text = """
        [server]
        bind = "[::1]:0"
        tls_cert = "cert.pem"
        tls_key = "key.pem"
        keep_alive = 5
        [metrics]
        bind = ""
        [store]
        url = "sqlite:////var/lib/headrace.db"
        synchronous = "NORMAL"
        [money]
        credits_per_usd = 100
        markup = "1.25"
        signup_credits = "2.5"
        [timeouts]
        idle = 7
        [[providers]]
        name = "p"
        base_url = "https://p.example"
        timeouts = {connect = 1.5}
        [plans.default]
        rpm = 600
        max_request = "0.25"
    """
    settings = read(tmp_path, text)
    assert settings.server.bind == "[::1]:0"
    assert settings.server.tls_cert == tmp_path / "cert.pem"
    assert settings.server.keep_alive == 5.0
    assert settings.metrics.bind is None
    assert settings.store.path == Path("/var/lib/headrace.db")
    assert settings.money == Money(credits_per_usd=100, markup=Fraction(5, 4), signup_credits=25_000_000)
    assert settings.providers[0].timeouts == Timeouts(connect=1.5, idle=7.0)
    assert settings.providers[1].timeouts == Timeouts(idle=7.0)
    assert settings.plans == {"default": Allowance(Limits(rpm=600, max_request=250_000_000))}


def test_models_are_joined_to_their_providers(tmp_path: Path) -> None:
    text = """
        [[providers]]
        name = "a"
        base_url = "http://a"
        [[models]]
        id = "mini"
        deployments = [{provider = "a", model = "org/mini"}, {provider = "sim", model = "echo"}]
        price = {input = "0.15", output = 1, cache_write = "0.3"}
        capabilities = ["chat", "tools"]
        [[models]]
        id = "a/large:v2"
        [aliases]
        fast = "mini"
        smart = ["a/large:v2", "a/anything", "mini"]
    """
    settings = read(tmp_path, text)
    mini, large = settings.models
    assert [deployment.id for deployment in mini.deployments] == ["a/org/mini", "sim/echo"]
    assert mini.deployments[0].provider is settings.providers[0]
    assert mini.price is not None
    assert mini.price.rates == Rates(
        input=150_000_000, cache_read=150_000_000, cache_write=300_000_000, cache_write_1h=300_000_000,
        input_audio=150_000_000, input_image=150_000_000, output=10**9, reasoning=10**9,
        output_audio=10**9, output_image=10**9,
    )  # fmt: skip
    assert mini.strategy == "failover"
    assert [deployment.id for deployment in large.deployments] == ["a/large:v2"]
    assert settings.aliases == {
        "fast": Alias(("mini",)),
        "smart": Alias(("a/large:v2", "a/anything", "mini")),
    }


def test_the_environment_wins(tmp_path: Path) -> None:
    text = """
        [server]
        bind = "127.0.0.1:1"
        [plans.default]
        rpm = 1
        [[providers]]
        name = "my-own"
        base_url = "http://a"
        api_key_env = "UNUSED"
        [[models]]
        id = "m"
        deployments = [{provider = "my-own", model = "x"}]
    """
    environ = {
        "HEADRACE_SERVER__BIND": "0.0.0.0:2",
        "HEADRACE_SERVER__WORKERS": "3",
        "HEADRACE_METRICS__BIND": "",
        "HEADRACE_MONEY__ALLOW_UNPRICED": "true",
        "HEADRACE_MONEY__MARKUP": "1.5",
        "HEADRACE_TIMEOUTS__IDLE": "0.5",
        "HEADRACE_PLANS__DEFAULT__RPM": "9",
        "HEADRACE_PLANS__BIG__RPM": "99",
        "HEADRACE_PROVIDERS__MY_OWN__BASE_URL": "http://b",
        "HEADRACE_PROVIDERS__MY_OWN__API_KEY": CANARY,
        "HEADRACE_PROVIDERS__MY_OWN__TIMEOUTS__CONNECT": "2",
        "HEADRACE_PROVIDERS__NEW__BASE_URL": "http://c",
        "HEADRACE_ALIASES__FAST": "m, sim/echo",
        "HEADRACE_UNRELATED": "ignored",
        "SERVER__BIND": "ignored",
    }
    settings = read(tmp_path, text, environ)
    assert (settings.server.bind, settings.server.workers) == ("0.0.0.0:2", 3)
    assert settings.metrics.bind is None
    assert settings.money.allow_unpriced is True
    assert settings.money.markup == Fraction(3, 2)
    assert settings.plans == {"default": Allowance(Limits(rpm=9)), "big": Allowance(Limits(rpm=99))}
    own, new, _ = settings.providers
    assert (own.base_url, own.api_key) == ("http://b", CANARY)
    assert own.timeouts == Timeouts(connect=2.0, idle=0.5)
    assert (new.name, new.base_url) == ("new", "http://c")
    assert settings.models[0].deployments[0].provider is own
    assert settings.aliases == {"fast": Alias(("m", "sim/echo"))}


def test_the_environment_needs_no_file_for_a_provider_of_ones_own() -> None:
    environ = {"OPENAI_API_KEY": "key", "HEADRACE_PROVIDERS__OPENAI__BASE_URL": "http://127.0.0.1:9/v1"}
    provider = load(None, environ, here=Path()).providers[0]
    assert (provider.name, provider.base_url, provider.api_key) == ("openai", "http://127.0.0.1:9/v1", "key")


PROVIDER_P = '[[providers]]\nname = "p"\nbase_url = "http://p"\n'
MODEL_M = '[[models]]\nid = "m"\ndeployments = [{provider = "sim", model = "echo"}]\n'
WRONG = [
    ("[server]\nworkers = true", "server.workers: found true (a boolean)", "a whole number from 1 to 256"),
    ("[server]\nworkers = 0", "server.workers: found 0", "from 1 to 256"),
    ('[server]\nworkers = "2"', "server.workers: found '2'", "a whole number"),
    ("[server]\nworker = 2", "server.worker: unknown key", 'did you mean "workers"?'),
    ('[server]\nbind = "8000"', "server.bind: found '8000'", "127.0.0.1:8000"),
    ('[server]\nbind = "h:65536"', "server.bind: found 'h:65536'", "from 0 to 65535"),
    ('[server]\nbind = "::1:80"', "server.bind: found '::1:80'", "[::1]:8000"),
    ("[server]\nkeep_alive = -1", "server.keep_alive: found -1", "seconds from 0.1"),
    ("[server]\nkeep_alive = nan", "server.keep_alive: found nan", "seconds from 0.1"),
    ("[server]\nmax_body = 1.5", "server.max_body: found 1.5 (a floating-point number)", "a whole number"),
    ('[server]\ntls_cert = "absent.pem"', "server.tls_cert: found", "there is no such file"),
    (f'[server]\ntls_key = "{EXAMPLE}"', "server: tls_cert and tls_key go together", "missing"),
    ("server = 3", "server: found a whole number", "a table, [server]"),
    ("[sever]\nbind = 1", "sever: unknown key", 'did you mean "server"?'),
    ("[zzz]\nbind = 1", "zzz: unknown key", "allowed: aliases, dashboard, idempotency, log"),
    ("[metrics]\nbind = false", "metrics.bind: found false", '"" is off'),
    ('[store]\nurl = "mysql://u"', "store.url: found 'mysql://u'", "sqlite:///PATH"),
    (f'[store]\nurl = "postgresql://u:{CANARY}@h/"', "store.url: found text;", "sqlite:///PATH"),
    (f'[store]\nurl = "postgresql://u:{CANARY}@h/d#e"', "store.url: found text;", "sqlite:///PATH"),
    ('[store]\nsynchronous = "OFF"', "store.synchronous: found 'OFF'", "one of FULL, NORMAL"),
    ("[money]\nmarkup = 1.2", "money.markup: found 1.2", "quote the number"),
    ('[money]\nmarkup = "-1"', "money.markup: found '-1'", "from 0 to 1000"),
    ('[money]\nmarkup = "NaN"', "money.markup: found 'NaN'", "from 0 to 1000"),
    ('[money]\nmarkup = "x"', "money.markup: found 'x'", "from 0 to 1000"),
    ('[money]\nsignup_credits = "x"', "money.signup_credits: found 'x'", "not negative"),
    ('[money]\nsignup_credits = "-5"', "money.signup_credits: found '-5'", "not negative"),
    ("[money]\nsignup_credits = 0.5", "money.signup_credits: found 0.5", 'as in "0.5"'),
    ('[money]\nallow_unpriced = "yes"', "money.allow_unpriced: found 'yes'", "true or false"),
    ("[timeouts]\nconnect = 0", "timeouts.connect: found 0", "seconds from 0.01"),
    ("[timeouts]\nfirst = 1", "timeouts.first: unknown key", "did you mean"),
    ("providers = 3", "providers: found a whole number", "a list of tables, [[providers]]"),
    ("providers = [3]", "providers[0]: found a whole number", "a table"),
    ('[[providers]]\nbase_url = "http://p"', "providers[0].name: missing", "needs a name"),
    ('[[providers]]\nname = "Open AI"', "providers[0] (Open AI).name: found 'Open AI'", "lower-case"),
    ('[[providers]]\nname = "p"', "providers[0] (p).base_url: missing", "only these need none: openai"),
    (PROVIDER_P + PROVIDER_P, "providers[1] (p).name:", 'a second provider named "p"'),
    (PROVIDER_P + 'wire = "telex"', "providers[0] (p).wire: found 'telex'", "one of openai, anthropic"),
    (PROVIDER_P + 'apikey = "x"', "providers[0] (p).apikey: unknown key", 'did you mean "api_key"?'),
    (PROVIDER_P + f'apikey = "{CANARY}"', "providers[0] (p).apikey: unknown key", "api_key"),
    (PROVIDER_P + 'api_key = ""', "providers[0] (p).api_key: found empty text", "visible ASCII"),
    (PROVIDER_P + 'api_key = "ChangeMe"', "providers[0] (p).api_key: found text", "placeholder"),
    (PROVIDER_P + 'api_key = "<your key>"', "providers[0] (p).api_key: found text", "placeholder"),
    (PROVIDER_P + f'api_key = "{CANARY} {CANARY}"', "providers[0] (p).api_key: found text", "visible ASCII"),
    (PROVIDER_P + f'api_key = ["{CANARY}"]', "providers[0] (p).api_key: found a list", "visible ASCII"),
    (PROVIDER_P + f'api_key_env = "{CANARY}"', "providers[0] (p).api_key_env: found text", "not a key"),
    (PROVIDER_P + f'api_key_file = "{CANARY}"', "(p).api_key_file: found a path", "no such file"),
    (PROVIDER_P + f'api_key = "{CANARY}"\napi_key_env = "X"', "providers[0] (p): api_key and api_key_env",
     "one of them"),
    (PROVIDER_P + 'ca_file = "absent.pem"', "providers[0] (p).ca_file: found", "no such file"),
    (PROVIDER_P + "stream_options = 1", "providers[0] (p).stream_options: found 1", "true or false"),
    (PROVIDER_P + "timeouts = {total = -1}", "providers[0] (p).timeouts.total: found -1", "seconds from"),
    (PROVIDER_P + "timeouts = 3", "providers[0] (p).timeouts: found a whole number", "a table"),
    (f'[[providers]]\nname = "p"\nbase_url = "http://u:{CANARY}@h"', "base_url: found text", "credentials"),
    (f'[[providers]]\nname = "p"\nbase_url = "http://h/?key={CANARY}"', "base_url: found text", "query"),
    ('[[providers]]\nname = "p"\nbase_url = "ftp://h"', "base_url: found 'ftp://h'", "an http or https URL"),
    ('[[providers]]\nname = "p"\nbase_url = "http://h:99999"', "base_url: found", "an http or https URL"),
    ("[[models]]\nquality = 1", "models[0].id: missing", "needs an id"),
    ('[[models]]\nid = "m"', "models[0] (m).deployments: missing", "begins with a provider's name"),
    ('[[models]]\nid = "m"\ndeployments = []', "models[0] (m).deployments: found a list", "at least one"),
    ('[[models]]\nid = "m"\ndeployments = [{provider = "none", model = "x"}]',
     "models[0] (m).deployments[0].provider: found 'none'", "one of sim"),
    ('[[models]]\nid = "m"\ndeployments = [{provider = "sim"}]', "(m).deployments[0].model: missing", ""),
    ('[[models]]\nid = "m"\ndeployments = ["sim"]', "models[0] (m).deployments[0]: found text", "a table"),
    ('[[models]]\nid = "m"\ndeployments = [{provider = "sim", model = "x"}, {provider = "sim", model = "x"}]',
     "models[0] (m).deployments: the same", "twice"),
    (MODEL_M + MODEL_M, "models[1] (m).id:", 'a second model with the id "m"'),
    ('[[models]]\nid = "a b"', "models[0] (a b).id: found 'a b'", "visible ASCII"),
    (MODEL_M + 'strategy = "luck"', "models[0] (m).strategy: found 'luck'", "one of single, failover"),
    (MODEL_M + "price = {input = 0.15, output = 1}", "models[0] (m).price.input: found 0.15", 'as in "0.15"'),
    (MODEL_M + 'price = {input = "-1", output = 1}', "models[0] (m).price.input: found '-1'", "not negative"),
    (MODEL_M + 'price = {input = "1"}', "models[0] (m).price: incomplete", "input and output"),
    (MODEL_M + "price = {input = 1, output = 1, out = 1}", "models[0] (m).price.out: unknown key",
     'did you mean "output"?'),
    (MODEL_M + "max_output_tokens = 0", "models[0] (m).max_output_tokens: found 0", "at least 1"),
    (MODEL_M + "reasoning = 1", "models[0] (m).reasoning: found 1", "true or false"),
    (MODEL_M + "capabilities = [1]", "models[0] (m).capabilities: found a list", "lower-case words"),
    ('[aliases]\nfast = "nothing"', "aliases.fast: found 'nothing'", "provider/model with one of sim"),
    ('[aliases]\nfast = ["sim/echo", 3]', "aliases.fast: found a list", "a list of different ones"),
    ("[aliases]\nfast = []", "aliases.fast: found a list", "a model id"),
    ('[aliases]\n"a/b" = "sim/echo"', "aliases.a/b: not a name", "lower-case"),
    (MODEL_M + '[aliases]\nm = "sim/echo"', "aliases.m: a model has this id", ""),
    ("[plans]\ndefault = 3", "plans.default: found a whole number", "a table"),
    ('[aliases]\nfast = {strategy = "race"}', "aliases.fast.models: missing", ""),
    ('[aliases]\nfast = {models = ["sim/echo"], x = 1}', "aliases.fast.x: unknown key", "allowed: models"),
    ('[race]\nhedge_calls = "1.5"', "race.hedge_calls: found '1.5'", "from 0 to 1"),
    ('[plans.default]\nstrategy = "luck"', "plans.default.strategy: found 'luck'", "one of single"),
    ("[plans.default]\nrpm = 0", "plans.default.rpm: found 0", "at least 1"),
    ("[plans.default]\nmax_request = 1.5", "plans.default.max_request: found 1.5", "quote the number"),
    ("[plans.default]\ntpd = 3", "plans.default.tpd: unknown key", "allowed: allow_race, concurrency"),
    ("[plans.Default]\nrpm = 3", "plans.Default: not a name", "lower-case"),
    ("[server\n", "not TOML:", "line 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "finding", "remedy"), WRONG, ids=[row[1] for row in WRONG])
def test_what_is_wrong_is_said_with_file_key_finding_and_remedy(
    tmp_path: Path, text: str, finding: str, remedy: str
) -> None:
    lines = problems(tmp_path, text)
    assert any(finding in line and remedy in line for line in lines), lines
    assert all(line.startswith("headrace.toml: ") for line in lines)


WRONG_ENVIRON = [
    ({"HEADRACE_SERVER__WORKERS": "many"}, "HEADRACE_SERVER__WORKERS: server.workers: found 'many'"),
    ({"HEADRACE_SERVER__WORKER": "1"}, "HEADRACE_SERVER__WORKER: server.worker: unknown key; did you mean"),
    ({"HEADRACE_SEVER__BIND": "x"}, 'HEADRACE_SEVER__BIND: sever: unknown key; did you mean "server"?'),
    ({"HEADRACE_MODELS__X": "1"}, "HEADRACE_MODELS__X: models are set in the file alone"),
    (
        {"HEADRACE_MONEY__ALLOW_UNPRICED": "maybe"},
        "money.allow_unpriced: found 'maybe'; allowed: true or false",
    ),
    ({"HEADRACE_PLANS__DEFAULT": "1"}, "HEADRACE_PLANS__DEFAULT: names no key"),
    ({"HEADRACE_PROVIDERS__SIM": "1"}, "HEADRACE_PROVIDERS__SIM: names no key"),
    ({"HEADRACE_SERVER__": "1"}, "HEADRACE_SERVER__: names no key"),
    ({"HEADRACE_SERVER__BIND__X": "1"}, "HEADRACE_SERVER__BIND__X: names no key"),
    ({"HEADRACE_PROVIDERS__P__BASE_URL": f"http://u:{CANARY}@h"}, "base_url: found text"),
    ({"OPENAI_API_KEY": "changeme"}, "OPENAI_API_KEY: providers[0] (openai).api_key: found text"),
    ({"OPENAI_API_KEY": f"{CANARY}\n{CANARY}"}, "OPENAI_API_KEY: providers[0] (openai).api_key: found text"),
]


@pytest.mark.parametrize(("environ", "finding"), WRONG_ENVIRON)
def test_what_is_wrong_in_the_environment_is_said_of_the_variable(
    environ: dict[str, str], finding: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, environ, here=Path())
    lines = caught.value.problems
    assert any(finding in line for line in lines), lines
    assert all(line.startswith("environment variable ") for line in lines), lines
    assert CANARY not in str(caught.value)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = "[server]\nworkers = 0\nbnd = 1\n[money]\nmarkup = 1.5\n" + PROVIDER_P + "stream_options = 3\n"
    lines = problems(tmp_path, text, {"HEADRACE_METRICS__BIND": "nowhere"})
    assert len(lines) == 5
    assert lines[0].startswith("headrace.toml: server.bnd")


def test_a_key_file_is_checked_without_being_shown(tmp_path: Path) -> None:
    for content in (b"", b"changeme\n", CANARY.encode() + b" x", b"\xff\xfe"):
        (tmp_path / "key").write_bytes(content)
        assert "api_key_file: the file " in problems(tmp_path, PROVIDER_P + 'api_key_file = "key"')[0]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"{tmp_path}/none.toml: cannot be read")):
        load(tmp_path / "none.toml", {}, here=Path())
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not UTF-8 at byte 0"):
        load(tmp_path / "bad.toml", {}, here=Path())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(CANARY),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.sampled_from([*SECTIONS, "timeouts", "providers", "models", "aliases", "plans", "zzz"]),
    st.sampled_from(["api_key", "base_url", "url", "bind", "price", "deployments", "x"]),
)
def test_nothing_but_a_settings_error_ever_comes_out(value: Any, section: str, key: str) -> None:
    from proxy.settings.load import _settings
    from proxy.settings.problems import Problems
    from proxy.settings.section import Reader

    table: Any = {"name": "p", "id": "m", key: value}
    for shape in (table, [table], {"p": table}, value):
        noted = Problems("f")
        tables: dict[str, Any] = {"providers": []} | {section: shape}
        _settings(Reader(noted, Path(), Path()), tables, {})
        if (section, key) == ("providers", "api_key"):
            assert CANARY not in "".join(noted.lines).replace(f".{CANARY}", "")


@given(st.integers(0, 65535), st.sampled_from(["127.0.0.1", "[::1]", "localhost", "[fe80::1%eth0]"]))
def test_an_address_is_split_into_host_and_port(port: int, host: str) -> None:
    assert split_bind(f"{host}:{port}") == (host.strip("[]"), port)


@pytest.mark.parametrize(
    "bind", ["", ":", "h:", ":1", "h:x", "h:-1", "::1:1", "h h:1", "[]:1", "h:\u0661", "http://h:1"]
)
def test_what_is_no_address_is_refused(bind: str) -> None:
    with pytest.raises(ValueError):
        split_bind(bind)


@given(st.dictionaries(st.sampled_from(Rates._fields), st.integers(0, 10**12)))
def test_unset_classes_fall_back_and_set_ones_stay(given_rates: dict[str, int]) -> None:
    rates = complete(given_rates)._asdict()
    assert rates.items() >= given_rates.items()
    for name in rates.keys() - given_rates.keys():
        assert rates[name] in {0, rates["input"], rates["output"], rates["cache_write"]}


def test_the_example_is_the_defaults() -> None:
    assert load(EXAMPLE, {}, here=Path()) == load(None, {}, here=Path())


OPTIONAL = {"tls_cert", "tls_key", "public_url", "master_keys", "username", "password", "ca_file"} | {
    "stripe_key",
    "stripe_webhook_secret",
}


def test_the_example_names_every_key() -> None:
    text = EXAMPLE.read_text("utf-8")
    set_keys = tomllib.loads(text)
    for section, kinds in {**SECTIONS, "timeouts": TIMEOUTS}.items():
        optional = OPTIONAL
        assert kinds.keys() - optional == set_keys[section].keys()
    for key in (
        *PROVIDER,
        *MODEL,
        *PRICE,
        *PLAN,
        "tls_cert",
        "tls_key",
        "public_url",
        "username",
        "password",
    ):
        assert re.search(rf"\b{key} = ", text), key
    assert all(f"{known.name} {known.variable or ':'}" in text for known in WELL_KNOWN)


def test_the_example_works_with_every_mark_removed(tmp_path: Path) -> None:
    for name in ("server.pem", "server.key", "ca.pem"):
        (tmp_path / name).touch()
    marked = r"(?m)^# (?=\[|\]|  \{|[a-z0-9_]+ = |# )"
    settings = read(tmp_path, re.sub(marked, "", EXAMPLE.read_text("utf-8")))
    assert [provider.name for provider in settings.providers] == ["openai", "local", "sim"]
    assert settings.models[0].price is not None
    assert settings.plans["default"].limits.max_request == 10**9
    assert settings.aliases == {
        "fast": Alias(("gpt-4o-mini",)),
        "smart": Alias(("openai/gpt-4o", "gpt-4o-mini"), "quality"),
    }


@pytest.mark.parametrize("section", SECTIONS)
def test_the_environment_reaches_every_section(tmp_path: Path, section: str) -> None:
    """A wrong value is told of as the value of its key, so it has got there."""
    key = next(iter(SECTIONS[section]))
    problems = Problems("none")
    tables: dict[str, Any] = {}
    overlay(tables, {f"HEADRACE_{section}__{key}".upper(): "x"}, problems)
    problems.raise_any()
    assert tables[section][key].text == "x"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Gateway.example:443/", "https://gateway.example"),
        ("http://gateway.example:80", "http://gateway.example"),
        ("https://gateway.example:80", "https://gateway.example:80"),
        ("http://gateway.example:8080", "http://gateway.example:8080"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_a_public_url_is_written_as_browsers_write_an_origin(url: str, origin: str) -> None:
    assert ORIGIN.take(url) == origin


def test_a_public_url_is_ascii() -> None:
    with pytest.raises(ValueError, match="as browsers send it"):
        ORIGIN.take("https://b\u00fccher.example")


def test_a_well_known_key_is_tried_where_it_shows_and_costs_nothing() -> None:
    """OpenRouter lists its models to anybody."""
    assert {row.name: row.tries for row in WELL_KNOWN if row.tries != "/models"} == {"openrouter": "/key"}

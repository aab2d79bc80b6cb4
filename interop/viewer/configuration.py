"""OHIF's configuration as it is served: ours, what a site lays over it, and last what no site may change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from interop.errors import InteropError

# What decides where OHIF reads from, and under which address it runs. Two kinds of data source follow an address in the
# page's URL (CVE-2026-12473); the others named here load configuration, scripts or sign-ins from elsewhere.
FORBIDDEN = (
    "dataSources",
    "defaultDataSourceName",
    "routerBasename",
    "dangerouslyUseDynamicConfig",
    "customizationUrlPrefixes",
    "oidc",
    "userAuthenticationService",
    "dicomjson",
    "dicomwebproxy",
    "dicomlocal",
)
_COMMENTS = re.compile(r"/\*.*?\*/|(?<![:'\"])//[^\n]*", re.DOTALL)

_LAY = """
;{
  const isObject = value => typeof value === 'object' && value !== null && !Array.isArray(value);
  const lay = (under, over) => {
    for (const [name, value] of Object.entries(over)) {
      if (isObject(under[name]) && isObject(value)) lay(under[name], value);
      else under[name] = value;
    }
  };
  lay(window.config, JSON.parse(%s));
}
"""
_RUN = """
;const ownConfig = { ...window.config };
try {
%s
} catch (error) {
  console.error('INTEROP_OHIF_CONFIG:', error);
}
if (typeof window.config !== 'object' || window.config === null) window.config = ownConfig;
"""
_BEFORE = "\n;const ownSources = JSON.stringify(window.config.dataSources);\n"
_AFTER = """
;{
  const path = %s;
  const config = window.config;
  config.dataSources = JSON.parse(ownSources);
  for (const { configuration } of config.dataSources) {
    for (const root of ['wadoUriRoot', 'qidoRoot', 'wadoRoot']) configuration[root] = path + configuration[root];
  }
  config.defaultDataSourceName = config.dataSources[0].sourceName;
  config.routerBasename = path || null;
  for (const name of %s) delete config[name];
}
"""
_TAKEN_AWAY = ("dangerouslyUseDynamicConfig", "customizationUrlPrefixes", "oidc")


class ViewerConfigurationError(InteropError):
    """A site's configuration of OHIF cannot be laid over ours."""


def configuration(shipped: bytes, path: str = "", *, site: str | None = None, name: str = "") -> bytes:
    """The script for a viewer below this path (empty: the root).

    ``site`` is the text of the site's file and ``name`` what it is called: JSON if that ends so, else JavaScript that
    changes ``window.config``. ViewerConfigurationError where the file is not readable or touches what it may not.
    """
    laid = "" if site is None else _laid(site, name)
    after = _AFTER % (json.dumps(path), json.dumps(_TAKEN_AWAY))
    return f"{shipped.decode()}{_BEFORE}{laid}{after}".encode()


def _laid(text: str, name: str) -> str:
    if not name.endswith(".json"):
        code = _COMMENTS.sub(" ", text)
        _refuse((word for word in FORBIDDEN if re.search(rf"\b{word}\b", code)), name)
        if "window.config" not in code:
            raise ViewerConfigurationError(f"{name} does not speak of window.config, which is what it is to change")
        return _RUN % text
    try:
        overlay = json.loads(text)
    except ValueError as error:
        raise ViewerConfigurationError(f"{name} is not JSON: {error}") from error
    if not isinstance(overlay, dict):
        raise ViewerConfigurationError(f"{name} is not a JSON object")
    _refuse((word for word in FORBIDDEN if word in overlay or f'"{word}"' in text), name)
    return _LAY % json.dumps(json.dumps(overlay))


def _refuse(words: Iterable[str], name: str) -> None:
    for word in words:
        raise ViewerConfigurationError(
            f"{name}: {word} is not a site's to set: the viewer reads from this server alone, where it is served"
        )

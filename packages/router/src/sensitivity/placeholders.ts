const anywhere =
  /example|changeme|change[-_ ]?(?:me|this|it)|placeholder|redacted|replace[-_ ]?(?:me|this|with)|insert[-_ ]|dummy|x{5}|\*{3}|\.{3}|•|…|123456789|abcdefgh|0{8}|1{8}/i
const atStart =
  /^(?:your|my|the|some|any|a|an|test|testing|fake|mock|sample|foo|bar|baz|todo|tbd|none|null|nil|undefined|true|false|enter|insert|put|use|replace|hidden|masked|removed|secret|password|passwd|passw0rd|pass|token|api[-_ ]?key|user|username|admin|default|demo|local|dev|wrong|invalid|valid|correct|new|old|unknown|empty|string|abc|qwerty|letmein|welcome)(?:$|[-_. :]|[0-9]{1,4}$)/i

/** Whether a value only stands for one: `changeme`, `your-api-key`, `xxxxxxxx`, `****`. */
export function isPlaceholder(value: string): boolean {
  return anywhere.test(value) || atStart.test(value) || fewCharacters(value)
}

function fewCharacters(value: string): boolean {
  if (value.length < 6) return false
  const seen = new Set<number>()
  for (let at = 0; at < value.length; at++) {
    seen.add(value.charCodeAt(at))
    if (seen.size > 4) return false
  }
  return true
}

/** What a redactor puts in place of a value. */
export const redacted = /\[\[[a-z][a-z0-9-]*:\d{1,9}\]\]/

const reference =
  /\$\{|\$\(|\{\{|\{%|<[^>]*>|^[<%!&@]|^\$[A-Za-z_][A-Za-z0-9_.:]*$|^\$\$|^\{[^}]*\}$|^%[^%]*%$|^(?:vault|op|arn|urn|aws|gcp|ssm|file|env|secret|secrets|azurekeyvault|keyvault|ref):|^ENC\[|^(?:process\.env|os\.environ|ENV\[|System\.getenv|import\.meta|var\.|local\.|data\.|module\.|secrets\.|config\.|settings\.|self\.|this\.)/

/** Whether a value says where the real one is: `${TOKEN}`, `{{ vault.token }}`, `process.env.TOKEN`, `op://…`. */
export function isReference(value: string): boolean {
  return reference.test(value) || redacted.test(value)
}

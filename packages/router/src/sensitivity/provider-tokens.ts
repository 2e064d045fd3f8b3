import { startsToken } from './characters.ts'
import type { Finding, FindingKind } from './finding.ts'
import { isPlaceholder } from './placeholders.ts'

// Formats: the providers' own documentation, and the rules of secretlint and gitleaks.
const formats: readonly (readonly [kind: FindingKind, prefixes: readonly string[], body: string])[] = [
  ['aws-access-key', ['AKIA', 'ASIA'], '[A-Z2-7]{16}'],
  ['github-token', ['ghp_', 'gho_', 'ghu_', 'ghs_', 'ghr_'], '[A-Za-z0-9]{36,251}'],
  ['github-token', ['github_pat_'], '[A-Za-z0-9]{22}_[A-Za-z0-9]{59}'],
  ['gitlab-token', ['glpat-', 'gldt-', 'glrt-', 'glptt-', 'glcbt-'], '[A-Za-z0-9_.-]{20,300}'],
  ['slack-token', ['xoxb-', 'xoxp-', 'xoxa-', 'xoxo-', 'xoxr-', 'xoxs-', 'xoxe-', 'xoxe.xoxp-', 'xoxe.xoxb-'], '[A-Za-z0-9-]{24,260}'],
  ['slack-token', ['xapp-'], '\\d-[A-Z0-9]+-\\d+-[A-Za-z0-9]{32,}'],
  ['slack-webhook', ['https://hooks.slack.com/'], '(?:services|workflows|triggers)/[A-Za-z0-9]{8,}/[A-Za-z0-9]{8,}/[A-Za-z0-9/]{20,80}'],
  ['stripe-key', ['sk_live_', 'rk_live_', 'sk_test_', 'rk_test_', 'whsec_'], '[A-Za-z0-9+/]{24,250}={0,2}'],
  ['anthropic-key', ['sk-ant-'], '[a-z0-9]{3,12}-[A-Za-z0-9_-]{60,300}'],
  ['openai-key', ['sk-'], '(?:(?:proj|svcacct|admin|None)-)?[A-Za-z0-9_-]*T3BlbkFJ[A-Za-z0-9_-]{20,}|(?:or-v1-|proj-)?[A-Za-z0-9]{32,250}'],
  ['google-key', ['AIza'], '[A-Za-z0-9_-]{35}'],
  ['google-key', ['GOCSPX-'], '[A-Za-z0-9_-]{28}'],
  ['google-key', ['ya29.'], '[A-Za-z0-9_-]{30,2000}'],
  ['npm-token', ['npm_'], '[A-Za-z0-9]{36}'],
  ['pypi-token', ['pypi-AgE'], '[A-Za-z0-9_-]{50,2000}'],
  ['sendgrid-key', ['SG.'], '[A-Za-z0-9_-]{16,32}\\.[A-Za-z0-9_-]{32,64}'],
  ['twilio-key', ['SK'], '[0-9a-f]{32}'],
  ['vault-token', ['hvs.', 'hvb.', 'hvr.'], '[A-Za-z0-9_-]{24,300}'],
  ['huggingface-token', ['hf_', 'api_org_'], '[A-Za-z]{34}|[A-Za-z0-9]{34,40}'],
  ['private-key', ['AGE-SECRET-KEY-1'], '[A-Z0-9]{58}'],
  ['provider-token', ['dop_v1_', 'doo_v1_', 'dor_v1_'], '[0-9a-f]{64}'],
  ['provider-token', ['dapi'], '[0-9a-f]{32}(?:-\\d)?'],
  ['provider-token', ['shpat_', 'shpca_', 'shppa_', 'shpss_'], '[0-9a-fA-F]{32}'],
  ['provider-token', ['dckr_pat_', 'dckr_oat_'], '[A-Za-z0-9_-]{27,32}'],
  ['provider-token', ['lin_api_', 'lin_oauth_'], '[A-Za-z0-9]{40,64}'],
  ['provider-token', ['glsa_'], '[A-Za-z0-9]{32}_[0-9a-fA-F]{8}'],
  ['provider-token', ['glc_'], '[A-Za-z0-9+/]{32,400}={0,2}'],
  ['provider-token', ['PMAK-'], '[0-9a-f]{24}-[0-9a-f]{34}'],
  ['provider-token', ['rubygems_'], '[0-9a-f]{48}'],
  ['provider-token', ['pul-'], '[0-9a-f]{40}'],
  ['provider-token', ['sbp_'], '[0-9a-f]{40}'],
  ['provider-token', ['sqp_', 'squ_', 'sqa_'], '[0-9a-f]{40}'],
  ['provider-token', ['pscale_tkn_', 'pscale_pw_', 'pscale_oauth_'], '[A-Za-z0-9_.=-]{32,64}'],
  ['provider-token', ['sntrys_', 'sntryu_'], '[A-Za-z0-9+/=_-]{40,400}'],
  ['provider-token', ['NRAK-'], '[A-Z0-9]{27}'],
  ['provider-token', ['dp.pt.', 'dp.st.', 'dp.ct.', 'dp.sa.'], '[A-Za-z0-9._-]{40,64}'],
  ['provider-token', ['sq0csp-', 'sq0atp-'], '[A-Za-z0-9_-]{22,43}'],
  ['provider-token', ['cio'], '[A-Za-z0-9]{32}'],
  ['provider-token', ['ntn_'], '[A-Za-z0-9]{40,50}'],
  ['provider-token', ['tskey-'], '[a-z]+-[A-Za-z0-9]+-[A-Za-z0-9]{20,}'],
  ['provider-token', ['gsk_', 'xai-', 'r8_', 'pplx-', 'fw_'], '[A-Za-z0-9]{36,100}'],
]

const escaped = (literal: string): string => literal.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
const byPrefix = new Map(
  formats.flatMap(([kind, prefixes, body]) =>
    prefixes.map((prefix) => [prefix, { kind, pattern: new RegExp(`${escaped(prefix)}(?:${body})(?![A-Za-z0-9_])`, 'y') }] as const),
  ),
)
// Longest first, so that `sk-ant-` is not taken for `sk-`.
const anyPrefix = new RegExp(
  [...byPrefix.keys()]
    .sort((a, b) => b.length - a.length)
    .map(escaped)
    .join('|'),
  'g',
)
const telegram = /:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])/g

/** Tokens that their providers give a prefix, so that they can be told anywhere. */
export function findProviderTokens(text: string): Finding[] {
  const findings: Finding[] = []
  anyPrefix.lastIndex = 0
  for (let hit = anyPrefix.exec(text); hit; hit = anyPrefix.exec(text)) {
    const format = byPrefix.get(hit[0])
    if (!format || !startsToken(text, hit.index)) continue
    format.pattern.lastIndex = hit.index
    const token = format.pattern.exec(text)?.[0]
    if (token === undefined || isPlaceholder(token.slice(hit[0].length))) continue
    findings.push({ kind: format.kind, offset: hit.index, length: token.length })
    anyPrefix.lastIndex = hit.index + token.length
  }
  findings.push(...findTelegramTokens(text))
  return findings
}

/** `BOT_ID:AA…`, where the id has 8 to 10 digits. */
function findTelegramTokens(text: string): Finding[] {
  return [...text.matchAll(telegram)].flatMap((match) => {
    const id = /(?<!\d)\d{8,10}$/.exec(text.slice(Math.max(0, match.index - 11), match.index))?.[0]
    return id === undefined ? [] : [{ kind: 'provider-token', offset: match.index - id.length, length: id.length + match[0].length }]
  })
}

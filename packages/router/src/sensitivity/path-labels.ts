import type { Sensitivity } from '@baton-sdk/core'

/** A label, or `none`: what it matches is taken back from the rules before it. */
export type SourceLabel = Sensitivity | 'none'

/** What is closely held by its place alone. Rules of a host come after these; one with the same pattern replaces it. */
export const defaultPathLabels: Readonly<Record<string, SourceLabel>> = {
  '.env': 'restricted',
  '.env.*': 'restricted',
  '.envrc': 'restricted',
  '.env.{example,sample,template,dist,defaults}': 'none',
  '**/{secrets,.secrets}/**': 'restricted',
  '*.{pem,key,p12,pfx,jks,keystore,kdbx,ppk,p8}': 'restricted',
  'id_{rsa,dsa,ecdsa,ed25519}': 'restricted',
  '**/{.ssh,.gnupg,.aws,.azure,.kube}/**': 'restricted',
  '**/.config/gcloud/**': 'restricted',
  '{.netrc,_netrc,.pgpass,.pypirc,.htpasswd,.git-credentials,.vault-token}': 'restricted',
  '**/.docker/config.json': 'restricted',
  '{kubeconfig,credentials.json,service-account*.json}': 'restricted',
  '*.{tfstate,tfstate.backup,tfvars}': 'restricted',
}

interface Rule {
  readonly kind: string
  readonly pattern: RegExp
  readonly label: SourceLabel
}

/**
 * The highest label that rules give to the sources of a piece of content.
 *
 * @param labels - patterns with their labels, in the order in which they count
 */
export function createSourceRules(
  labels: Readonly<Record<string, SourceLabel>>,
): (sources: readonly string[]) => (Sensitivity | undefined)[] {
  const rules = Object.entries(labels).map(([key, label]): Rule => {
    const [, kind = 'file', glob = key] = /^(file|host|tool|human|agent|system|check):(.*)$/s.exec(key) ?? []
    return { kind, pattern: compileGlob(glob), label }
  })
  return (sources) => sources.map((source) => labelOf(rules, source))
}

function labelOf(rules: readonly Rule[], source: string): Sensitivity | undefined {
  const colon = source.indexOf(':')
  const kind = source.slice(0, colon)
  const names = kind === 'file' ? placesOf(source.slice(colon + 1)) : [source.slice(colon + 1)]
  const labels = names.map((name) => {
    let label: SourceLabel = 'none'
    for (const rule of rules) {
      if (rule.kind !== kind || !rule.pattern.test(name)) continue
      label = rule.label === 'none' ? 'none' : higher(label, rule.label)
    }
    return label
  })
  const label = labels.reduce(higher)
  return label === 'none' ? undefined : label
}

const order: readonly SourceLabel[] = ['none', 'public', 'internal', 'confidential', 'restricted']
const higher = (a: SourceLabel, b: SourceLabel): SourceLabel => (order.indexOf(a) >= order.indexOf(b) ? a : b)

/**
 * A path as the patterns see it. Of one that is absolute or leads out of the workdir nobody knows here where the workdir begins, so each of its
 * ends counts.
 */
function placesOf(path: string): string[] {
  const slashed = path.replaceAll('\\', '/')
  const parts: string[] = []
  let outside = /^(?:\/|[A-Za-z]:)/.test(slashed)
  for (const part of slashed.split('/')) {
    if (part === '' || part === '.') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) outside = true
  }
  return outside && parts.length > 0 ? parts.map((_, index) => parts.slice(index).join('/')) : [parts.join('/')]
}

const special: Readonly<Record<string, string>> = { '?': '[^/]', '{': '(?:', '}': ')' }

/** As in a .gitignore: without a slash at any depth, else from the workdir on; a folder stands for all that is in it. `{a,b}` is either. */
function compileGlob(glob: string): RegExp {
  const anchored = glob.slice(0, -1).includes('/')
  let depth = 0
  const body = glob.replace(/^\/|\/$/g, '').replace(/\*\*\/|\/\*\*$|\*+|[?{},]|[^*?{},/]+|\//g, (token) => {
    if (token === '**/') return '(?:.*/)?'
    if (token === '/**') return '/.+'
    if (token.startsWith('*')) return '[^/]*'
    if (token === '{') depth++
    if (token === '}') depth--
    if (token === ',') return depth > 0 ? '|' : ','
    return special[token] ?? token.replace(/[.+^$()|[\]\\]/g, '\\$&')
  })
  return new RegExp(`^${anchored ? '' : '(?:.*/)?'}${body}(?:/.*)?$`, 'is')
}

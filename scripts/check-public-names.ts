import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { exportedNames } from './module-imports.ts'

/** How many names a reader of core's index should have to meet. Reported, not enforced. */
const CORE_AIM = 60

/** Compares what the packages export with the list in docs/reference/public-names.md, so that a public name never comes or goes unnoticed. */
export function checkPublicNames(root: string): { listing: string; differences: string[] } {
  const now = publicNames(root)
  const path = listPath(root)
  const listed = existsSync(path) ? parseListing(readFileSync(path, 'utf8')) : new Map<string, string[]>()
  const differences = [...new Set([...now.keys(), ...listed.keys()])].sort().flatMap((entry) => {
    const [is, was] = [now.get(entry) ?? [], listed.get(entry) ?? []]
    return [
      ...is.filter((name) => !was.includes(name)).map((name) => `${entry}: + ${name}`),
      ...was.filter((name) => !is.includes(name)).map((name) => `${entry}: - ${name}`),
    ]
  })
  return { listing: render(now), differences }
}

function publicNames(root: string): Map<string, string[]> {
  const names = new Map<string, string[]>()
  for (const folder of readdirSync(join(root, 'packages'))) {
    const manifest = JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8'))
    for (const [subpath, target] of Object.entries<string | Record<string, string>>(manifest.exports)) {
      const source = typeof target === 'string' ? undefined : target['@baton-sdk/source']
      if (source === undefined) continue
      const file = join(root, 'packages', folder, source)
      names.set(manifest.name + subpath.slice(1), existsSync(file) ? exportedNames(file) : [])
    }
  }
  return names
}

function render(names: ReadonlyMap<string, readonly string[]>): string {
  const sections = [...names].map(([entry, list]) => {
    const count = `${list.length} ${list.length === 1 ? 'name' : 'names'}`
    const body = list.map((name) => `- \`${name}\``).join('\n')
    return `## ${entry}\n\n${count}.${body === '' ? '' : `\n\n${body}`}\n`
  })
  return `# Public names\n\nWritten by \`npm run check:names -- --write\`; \`npm run check\` compares it with the code.\n\n${sections.join('\n')}`
}

function parseListing(text: string): Map<string, string[]> {
  return new Map(
    text
      .split(/^## /m)
      .slice(1)
      .map((section) => [section.split('\n', 1)[0] as string, [...section.matchAll(/^- `(.+)`$/gm)].map((match) => match[1] as string)]),
  )
}

function listPath(root: string): string {
  return join(root, 'docs/reference/public-names.md')
}

if (process.argv[1] === import.meta.filename) {
  const root = resolve(import.meta.dirname, '..')
  const { listing, differences } = checkPublicNames(root)
  if (process.argv.includes('--write')) {
    mkdirSync(dirname(listPath(root)), { recursive: true })
    writeFileSync(listPath(root), listing)
  } else if (differences.length > 0) {
    console.error(`${differences.join('\n')}\nIf this is meant, run: npm run check:names -- --write`)
    process.exitCode = 1
  }
  const core = publicNames(root).get('@baton-sdk/core')?.length ?? 0
  console.log(`@baton-sdk/core shows ${core} names; the aim is about ${CORE_AIM}`)
}

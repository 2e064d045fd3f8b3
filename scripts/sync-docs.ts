import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, extname, join, relative, resolve, sep } from 'node:path'

/** What is wrong with the documentation, one line each, and what its code would have to be. */
export interface DocsCheck {
  readonly problems: readonly string[]
  /** Pages whose code differs from its file, with the text that they should have. */
  readonly stale: ReadonlyMap<string, string>
}

const marker = /^<!-- code: (\S+) -->$/
/** Languages whose code is only shown from files that are compiled and run. */
const checkedLanguages = new Set(['ts', 'typescript', 'js', 'javascript'])

/**
 * Checks every Markdown page of a repository: code comes from the file that a marker above it names, and links lead to files and headings that
 * exist. A page of a package links to nothing outside of it, since it is published alone.
 */
export function checkDocs(root: string): DocsCheck {
  const problems: string[] = []
  const stale = new Map<string, string>()
  for (const page of markdownFiles(root)) {
    const text = readFileSync(join(root, page), 'utf8')
    const synced = syncCode(root, page, text)
    problems.push(...synced.problems, ...checkLinks(root, page, text))
    if (synced.text !== text) stale.set(page, synced.text)
  }
  return { problems, stale }
}

function syncCode(root: string, page: string, text: string): { text: string; problems: string[] } {
  const lines = text.split('\n')
  const out: string[] = []
  const problems: string[] = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string
    const file = marker.exec(line)?.[1]
    const isBlock = lines[at + 1] === '' && /^```\w+$/.test(lines[at + 2] ?? '')
    if (file === undefined || !isBlock) {
      if (file !== undefined) problems.push(`${page}:${at + 1}: after the marker come an empty line and a fence`)
      const language = /^\s*```(\w+)/.exec(line)?.[1]
      if (language === undefined) {
        out.push(line)
        continue
      }
      if (checkedLanguages.has(language)) {
        problems.push(`${page}:${at + 1}: code has to come from a file that is run: put <!-- code: PATH --> and an empty line above it`)
      }
      const end = endOfFence(lines, at)
      out.push(...lines.slice(at, end + 1))
      at = end
      continue
    }
    const end = endOfFence(lines, at + 2)
    const shown = lines.slice(at + 3, end)
    const wanted = existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8').trimEnd().split('\n') : undefined
    if (wanted === undefined) problems.push(`${page}:${at + 1}: there is no file ${file}`)
    else {
      const differs = wanted.findIndex((code, index) => code !== shown[index])
      const where = differs >= 0 ? differs : wanted.length
      if (differs >= 0 || shown.length !== wanted.length) problems.push(`${page}:${at + 4 + where}: differs from ${file}:${where + 1}`)
    }
    out.push(...lines.slice(at, at + 3), ...(wanted ?? shown), ...lines.slice(end, end + 1))
    at = end
  }
  return { text: out.join('\n'), problems }
}

/** The line that closes the fence which opens at one. */
function endOfFence(lines: readonly string[], open: number): number {
  const end = lines.findIndex((line, index) => index > open && /^\s*```\s*$/.test(line))
  return end < 0 ? lines.length - 1 : end
}

function checkLinks(root: string, page: string, text: string): string[] {
  const problems: string[] = []
  for (const { target, line } of links(text)) {
    if (/^[a-z][a-z+.-]*:/i.test(target)) continue
    const [path = '', anchor] = decodeURI(target).split('#')
    const file = path === '' ? join(root, page) : resolve(root, dirname(page), path)
    const place = `${page}:${line}`
    if (!existsSync(file)) problems.push(`${place}: the link to ${target} leads nowhere`)
    else if (leavesPackage(page, relative(root, file))) problems.push(`${place}: the link to ${target} leaves the package`)
    else if (anchor !== undefined && !anchorsOf(file).has(anchor)) problems.push(`${place}: ${path || page} has no heading #${anchor}`)
  }
  return problems
}

function leavesPackage(page: string, file: string): boolean {
  const folder = /^packages\/[^/]+\//.exec(page)?.[0]
  return folder !== undefined && !`${file}/`.startsWith(folder)
}

/** Links outside of code: inline ones, images, and definitions of references. */
function links(text: string): { target: string; line: number }[] {
  return proseLines(text).flatMap(({ line, text: prose }) => {
    const clean = prose.replace(/`[^`]*`/g, (code) => ' '.repeat(code.length))
    const targets = [...clean.matchAll(/\]\(<?([^\s)>]+)>?(?:\s+"[^"]*")?\)/g), ...clean.matchAll(/^\s*\[[^\]]+\]:\s*<?([^\s>]+)/g)]
    return targets.map((match) => ({ target: match[1] as string, line }))
  })
}

function proseLines(text: string): { line: number; text: string }[] {
  const lines = text.split('\n')
  const prose: { line: number; text: string }[] = []
  for (let at = 0; at < lines.length; at++) {
    if (/^\s*```/.test(lines[at] as string)) at = endOfFence(lines, at)
    else prose.push({ line: at + 1, text: lines[at] as string })
  }
  return prose
}

/** Anchors of a page's headings, made as GitHub makes them. */
function anchorsOf(file: string): Set<string> {
  const anchors = new Set<string>()
  if (statSync(file).isDirectory() || extname(file) !== '.md') return anchors
  const seen = new Map<string, number>()
  for (const { text } of proseLines(readFileSync(file, 'utf8'))) {
    const heading = /^#{1,6}\s+(.+?)\s*#*$/.exec(text)?.[1]
    if (heading === undefined) continue
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = plain.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')
    const times = seen.get(slug) ?? 0
    seen.set(slug, times + 1)
    anchors.add(times === 0 ? slug : `${slug}-${times}`)
  }
  return anchors
}

/** Pages that people write; changelogs are made of changesets, which are checked. */
function markdownFiles(root: string): string[] {
  const skipped = new Set(['node_modules', 'dist', 'coverage', 'results'])
  const visit = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) {
        const hidden = entry.name.startsWith('.') && entry.name !== '.changeset'
        return hidden || skipped.has(entry.name) ? [] : visit(path)
      }
      return entry.isFile() && entry.name.endsWith('.md') && entry.name !== 'CHANGELOG.md' ? [path] : []
    })
  return visit(root)
    .map((path) => relative(root, path).split(sep).join('/'))
    .sort()
}

if (process.argv[1] === import.meta.filename) {
  const root = resolve(import.meta.dirname, '..')
  if (process.argv.includes('--write')) {
    for (const [page, text] of checkDocs(root).stale) {
      writeFileSync(join(root, page), text)
      console.log(`wrote ${page}`)
    }
  }
  const { problems, stale } = checkDocs(root)
  for (const problem of problems) console.error(problem)
  if (stale.size > 0) console.error('To copy the code from its files, run: npm run check:docs -- --write')
  process.exitCode = problems.length > 0 ? 1 : 0
}

import type { Sandbox } from '@baton-sdk/core'
import { BatonError } from '@baton-sdk/core'
import type { Ignore } from 'ignore'
import ignore from 'ignore'
import { maxFileBytes } from './file-content.ts'
import { folderOf } from './tool-paths.ts'

/** What git would ignore, from the `.gitignore` files of a workspace and its `.git/info/exclude`, read without git. */
export interface IgnoreRules {
  /** Reads the `.gitignore` of these folders. */
  read(folders: readonly string[]): Promise<void>
  /** Whether git ignores it. `kind` matters, as some patterns are for folders only. */
  ignores(path: string, kind: 'file' | 'folder'): boolean
  /** Names that the rules so far ignore wherever they are, so that such folders need not be entered. */
  everywhereIgnored(): string[]
  /** Whether a rule somewhere takes one of these names back. */
  takesBack(names: readonly string[]): boolean
}

/** Reads ignore rules as git does: a deeper file goes before a shallower one, a later line before an earlier one, and nothing in an ignored folder comes back. */
export function createIgnoreRules(sandbox: Sandbox, signal: AbortSignal): IgnoreRules {
  const matchers = new Map<string, Ignore>()
  const patterns = new Map<string, readonly string[]>()
  const verdicts = new Map<string, boolean>([['.', false]])

  const folderIgnored = (path: string): boolean => {
    const known = verdicts.get(path)
    if (known !== undefined) return known
    const verdict = folderIgnored(folderOf(path)) || verdictOn(path, '/')
    verdicts.set(path, verdict)
    return verdict
  }
  const verdictOn = (path: string, suffix: '' | '/'): boolean => {
    for (let folder = folderOf(path); ; folder = folderOf(folder)) {
      const matcher = matchers.get(folder)
      const result = matcher && testIn(matcher, folder, path, suffix)
      if (result !== undefined) return result
      if (folder === '.') return false
    }
  }
  return {
    async read(folders) {
      const wanted = folders.filter((folder) => !patterns.has(folder))
      await Promise.all(
        wanted.map(async (folder) => {
          const own = linesOfRules(await readRules(sandbox, folder === '.' ? '.gitignore' : `${folder}/.gitignore`, signal))
          const shared = folder === '.' ? linesOfRules(await readRules(sandbox, '.git/info/exclude', signal)) : []
          const lines = [...shared, ...own]
          patterns.set(folder, lines)
          if (lines.length > 0) matchers.set(folder, ignore({ ignorecase: false }).add(lines))
        }),
      )
      verdicts.clear()
      verdicts.set('.', false)
    },
    ignores: (path, kind) => path !== '.' && (folderIgnored(folderOf(path)) || verdictOn(path, kind === 'folder' ? '/' : '')),
    everywhereIgnored() {
      const lines = patterns.get('.') ?? []
      const names = lines.flatMap((line) => /^([\w.@+-]+)\/?$/.exec(line)?.[1] ?? [])
      return [...new Set(names)].filter((name) => name !== '.' && name !== '..' && !mentions(lines, [name]))
    },
    takesBack: (names) => [...patterns.values()].some((lines) => mentions(lines, names)),
  }
}

/** The word of one matcher on a path itself; undefined where it has none, or speaks only of a folder above that a deeper file took back. */
function testIn(matcher: Ignore, folder: string, path: string, suffix: '' | '/'): boolean | undefined {
  const relative = folder === '.' ? path : path.slice(folder.length + 1)
  const result = matcher.test(relative + suffix)
  if (result.unignored) return false
  if (!result.ignored) return undefined
  const above = folderOf(relative)
  return above !== '.' && matcher.test(`${above}/`).ignored ? undefined : true
}

/** Whether a line takes something back that may be, or be in, a folder of these names. */
function mentions(lines: readonly string[], names: readonly string[]): boolean {
  return lines.some((line) => line.startsWith('!') && (/[*?[\\]/.test(line) || names.some((name) => line.includes(name))))
}

function linesOfRules(text: string): string[] {
  return text.split(/\r?\n/).filter((line) => line !== '' && !line.startsWith('#'))
}

async function readRules(sandbox: Sandbox, path: string, signal: AbortSignal): Promise<string> {
  try {
    return Buffer.from(await sandbox.readFile(path, { maxBytes: maxFileBytes, signal })).toString('utf8')
  } catch (error) {
    const absent = ['FILE_NOT_FOUND', 'NOT_A_FILE', 'PATH_OUTSIDE_WORKDIR', 'FILE_TOO_LARGE']
    if (BatonError.isInstance(error) && absent.includes(error.code)) return ''
    throw error
  }
}

import type { Ignore } from 'ignore'
import ignore from 'ignore'

/** What the `.gitignore` files of a workspace say. Verdicts of folders are remembered until a rule changes. */
export interface IgnoreRules {
  /** The folders whose rules are known. */
  folders(): string[]
  /** Sets, or with undefined takes away, the rules of a folder (empty: the workspace itself). Whether that changed anything. */
  set(folder: string, text: string | undefined): boolean
  /** Whether git would leave out a file, or a folder with all that is in it. */
  ignoresFile(path: string): boolean
  ignoresFolder(path: string): boolean
  /** Lets go of what the tests of many paths have left in memory. */
  trim(): void
}

/**
 * Makes the rules of a workspace that has none yet. As with git, rules further in win over those further out and later ones over earlier ones, and nothing in
 * a folder that is left out can be taken in again. Case matters, as it does with git on Linux. Source: gitignore(5).
 */
export function createIgnoreRules(): IgnoreRules {
  const texts = new Map<string, string>()
  /** The rules that hold in a folder with rules of its own: those around it too. */
  const chains = new Map<string, Ignore>()
  const nearest = new Map<string, Ignore | undefined>()
  const verdicts = new Map<string, boolean>()

  const chainOf = (folder: string, text: string): Ignore => {
    const known = chains.get(folder)
    if (known !== undefined) return known
    const outer = folder === '' ? undefined : rulesIn(parentOf(folder))
    const chain = ignore({ ignorecase: false })
    if (outer !== undefined) chain.add(outer)
    chain.add(folder === '' ? text : moved(text, folder))
    chains.set(folder, chain)
    return chain
  }
  const rulesIn = (folder: string): Ignore | undefined => {
    if (nearest.has(folder)) return nearest.get(folder)
    const own = texts.get(folder)
    const rules = own !== undefined ? chainOf(folder, own) : folder === '' ? undefined : rulesIn(parentOf(folder))
    nearest.set(folder, rules)
    return rules
  }
  const trim = (): void => {
    chains.clear()
    nearest.clear()
  }
  const ignoresFolder = (path: string): boolean => {
    if (path === '' || texts.size === 0) return false
    const known = verdicts.get(path)
    if (known !== undefined) return known
    const parent = parentOf(path)
    const verdict = ignoresFolder(parent) || (rulesIn(parent)?.test(`${path}/`).ignored ?? false)
    verdicts.set(path, verdict)
    return verdict
  }
  return {
    trim,
    ignoresFolder,
    folders: () => [...texts.keys()],
    set(folder, text) {
      if (texts.get(folder) === text) return false
      if (text === undefined) texts.delete(folder)
      else texts.set(folder, text)
      trim()
      verdicts.clear()
      return true
    },
    ignoresFile(path) {
      const parent = parentOf(path)
      return texts.size > 0 && (ignoresFolder(parent) || (rulesIn(parent)?.test(path).ignored ?? false))
    },
  }
}

/** The folder that a path is in; empty for the workspace itself. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

/** Rules of a folder as the workspace's own `.gitignore` would have to say them. */
function moved(text: string, folder: string): string {
  const base = folder.replaceAll(/[\\*?[\]]/g, '\\$&')
  return text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .map((line) => {
      if (line.trim() === '' || line.startsWith('#')) return ''
      const not = line.startsWith('!') ? '!' : ''
      const rule = line.slice(not.length)
      if (/^[/ ]*$/.test(rule)) return ''
      // A slash before the end ties a rule to the folder that it stands in.
      const tied = /\/(?=.*[^ /])|^\//.test(rule)
      return `${not}/${base}/${tied ? rule.replace(/^\//, '') : `**/${rule}`}`
    })
    .join('\n')
}

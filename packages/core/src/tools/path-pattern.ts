import { posix } from 'node:path'
import { anyCharacter, anything, fitsGlob } from './glob.ts'

/** Patterns of a rule, ready to be tried on the paths of a call. */
export interface PathMatcher {
  /** There are paths, all lead to the inside of the workdir, and each is taken by one of the patterns. */
  every(paths: readonly string[]): boolean
  /** One of the paths is taken, whatever its case, or leads out of the workdir. */
  any(paths: readonly string[]): boolean
}

/** Most patterns that the braces of one may stand for. */
const maxAlternatives = 256

/**
 * One spelling for each path of a call: relative to the workdir, without `.` and `..` steps; a folder with all that is in it keeps its `/` at the end, and
 * is `./` where it is the workdir. What leads out, or may, stays absolute or begins with `../`.
 */
export function normaliseCallPath(path: string, workdir: string | undefined): string {
  let plain = posix.normalize(path)
  if (plain.startsWith('/') && workdir !== undefined) {
    const inside = posix.relative(workdir, plain)
    if (!leadsOut(inside)) plain = inside || '.'
  }
  plain = plain.replace(/(?<=.)\/+$/, '')
  return path.endsWith('/') && plain !== '/' ? `${plain}/` : plain
}

function leadsOut(path: string): boolean {
  return path.startsWith('/') || path === '..' || path.startsWith('../')
}

/** What is wrong with a pattern. Undefined where nothing is. */
export function problemOfPath(pattern: string): string | undefined {
  const shown = JSON.stringify(pattern)
  if (leadsOut(pattern) || pattern.split('/').includes('..'))
    return `expected a path within the working folder, such as "src/**", and not ${shown}`
  if (pattern.startsWith('!'))
    return `${shown}: a pattern takes, and leaves out nothing; put a rule with the other decision before this one`
  if (/\[/.test(pattern.replace(/\\./gs, ''))) return `${shown}: write \\[ for a bracket; sets of characters are not understood`
  if (/\p{Cc}/u.test(pattern)) return `${shown}: control characters are in no pattern`
  const alternatives = expandBraces(pattern.replace(/^(?:\.\/+)+/, ''))
  if (alternatives === undefined) return `${shown}: the braces do not fit, or stand for more than ${maxAlternatives} patterns`
  if (alternatives.some((one) => one === '' || one.split('/').some((name) => name === '' || name === '.' || name === '..')))
    return `${shown}: expected names with one slash between them, and folder/** for all that is in a folder`
  return undefined
}

/** Makes a matcher of patterns that {@link problemOfPath} has nothing against. */
export function compilePaths(patterns: readonly string[]): PathMatcher {
  const globs = patterns.flatMap((pattern) => expandBraces(pattern.replace(/^(?:\.\/+)+/, '')) ?? [])
  const exact = globs.map(compile)
  const loose = globs.map((glob) => compile(fold(glob)))
  return {
    every: (paths) => paths.length > 0 && paths.every((path) => !leadsOut(path) && exact.some((steps) => takesAll(steps, path))),
    any: (paths) => paths.some((path) => leadsOut(path) || loose.some((steps) => takesSome(steps, fold(path)))),
  }
}

/** One spelling for all that some file system takes for the same name. */
function fold(path: string): string {
  return path.normalize().toLowerCase()
}

/** A step of a pattern: the glob of a name, or {@link anyNames}. */
type Step = string
const anyNames = '\u0003'

function compile(pattern: string): readonly Step[] {
  return pattern.split('/').map((name) => (name === '**' ? anyNames : globOf(name)))
}

function globOf(name: string): Step {
  return name.replace(/\\(.)|\*+|\?/gsu, (found, escaped: string | undefined) => escaped ?? (found === '?' ? anyCharacter : anything))
}

function namesOf(path: string): readonly string[] {
  return path.replace(/\/$/, '') === '.' ? [] : path.replace(/\/$/, '').split('/')
}

/** A name that only a wildcard takes. */
const someName = '\0'.repeat(300)

/** Whether the path is taken, and where it is a folder with all that is in it, each of those too. */
function takesAll(steps: readonly Step[], path: string): boolean {
  if (!path.endsWith('/')) return fits(steps, namesOf(path))
  return steps.at(-1) === anyNames && fits(steps, [...namesOf(path), someName])
}

/** Whether the path is taken, or where it is a folder with all that is in it, something there may be. */
function takesSome(steps: readonly Step[], path: string): boolean {
  const names = namesOf(path)
  if (fits(steps, names)) return true
  return (
    path.endsWith('/') &&
    steps.some((_, index) => fits([...steps.slice(0, index), ...(steps[index] === anyNames ? [anyNames] : [])], names))
  )
}

/** Whether steps take all names of a path: one row of the table at a time, so that many `**` cost no more. */
function fits(steps: readonly Step[], names: readonly string[]): boolean {
  // reached[i]: the names so far are taken by the first i steps.
  let reached = [true]
  for (const [index, step] of steps.entries()) reached[index + 1] = step === anyNames && reached[index] === true
  for (const name of names) {
    const next = [false]
    for (const [index, step] of steps.entries()) {
      next[index + 1] =
        step === anyNames ? reached[index + 1] === true || next[index] === true : reached[index] === true && fitsGlob(step, name)
    }
    reached = next
  }
  return reached[steps.length] === true
}

/** The patterns that one with braces stands for: `a/{b,c}` for `a/b` and `a/c`. Undefined where they do not fit. */
function expandBraces(pattern: string): readonly string[] | undefined {
  const open = /(?<!\\)(?:\\\\)*\{/.exec(pattern)
  if (!open) return /(?<!\\)(?:\\\\)*\}/.test(pattern) || /(?<!\\)(?:\\\\)*\\$/.test(pattern) ? undefined : [pattern]
  const start = open.index + open[0].length - 1
  const pieces: string[] = []
  let depth = 1
  let from = start + 1
  for (let at = start + 1; at < pattern.length; at++) {
    const character = pattern[at]
    if (character === '\\') at++
    else if (character === '{') depth++
    else if (character === '}') depth--
    if (depth === 0 || (depth === 1 && character === ',')) {
      pieces.push(pattern.slice(from, at))
      from = at + 1
    }
    if (depth > 0) continue
    return expandEach(pieces.map((piece) => pattern.slice(0, start) + piece + pattern.slice(at + 1)))
  }
  return undefined
}

function expandEach(patterns: readonly string[]): readonly string[] | undefined {
  const all: string[] = []
  for (const pattern of patterns) {
    const some = expandBraces(pattern)
    if (some === undefined || all.push(...some) > maxAlternatives) return undefined
  }
  return all
}

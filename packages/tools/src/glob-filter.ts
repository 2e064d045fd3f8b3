import ignore from 'ignore'

/** Most patterns that the braces of one glob may stand for. */
const maxPatterns = 256

/**
 * Whether a path fits a glob as in `.gitignore`: `*.ts` at any depth, `src/**` from the top, `{a,b}` for either, a leading `!` for all but those. Undefined
 * where the glob is too much.
 */
export function globFilter(glob: string): ((path: string) => boolean) | undefined {
  const negated = glob.startsWith('!')
  const patterns = expandBraces(negated ? glob.slice(1) : glob)
  if (patterns.length > maxPatterns) return undefined
  const matcher = ignore({ ignorecase: false }).add(patterns.map((pattern) => ({ pattern: escapeStart(pattern.replace(/^\.\//, '/')) })))
  return (path) => matcher.ignores(path) !== negated
}

/** `!` and `#` at the start mean something else in `.gitignore`. */
function escapeStart(pattern: string): string {
  return /^[!#]/.test(pattern) ? `\\${pattern}` : pattern
}

function expandBraces(glob: string): string[] {
  let patterns = [glob]
  for (;;) {
    // The innermost braces, so that nested ones come out right.
    const found = patterns.map((pattern) => /\{([^{}]*,[^{}]*)\}/.exec(pattern))
    if (patterns.length > maxPatterns || found.every((match) => match === null)) return patterns
    patterns = patterns.flatMap((pattern, at) => {
      const match = found[at]
      if (!match?.[1]) return [pattern]
      const [head, tail] = [pattern.slice(0, match.index), pattern.slice(match.index + match[0].length)]
      return match[1].split(',').map((choice) => head + choice + tail)
    })
  }
}

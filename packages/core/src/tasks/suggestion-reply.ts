import type { Surroundings } from './suggestion-prompt.ts'

/** So many lines at most that a reply repeats of what was there already are taken off. */
const maxRepeatedLines = 20
/** What is shorter may be there twice for a reason. */
const minRepeated = 3

/**
 * The missing text alone, from what a chat model said: without thoughts, code fences and the prompt's own tags, and without what it repeats of the text
 * before and after.
 */
export function missingText(reply: string, { prefix, suffix }: Surroundings): string {
  const said = withoutWrapping(reply, 'before_cursor', prefix + suffix)
  const text = withoutTail(withoutHead(said, prefix), suffix)
  // The line ends already.
  return /^[ \t]*\r?\n/.test(suffix) ? text.replace(/(?:\r?\n)+$/, '') : text
}

/** The lines in place of others, from what a chat model said: with the line ends of the file, and one at the end unless they end it without. */
export function replacementText(reply: string, lines: string, { prefix, suffix }: Surroundings): string {
  const said = withoutWrapping(reply, 'lines', lines).replaceAll('\r\n', '\n')
  const crlf = /^[^\n]*\r\n/.test(prefix + lines + suffix)
  const body = said.replace(/\n+$/, '')
  const begun = /^[ \t]*\r?\n/.test(lines) ? body : body.replace(/^(?:[ \t]*\n)+/, '')
  if (begun.trim() === '') return ''
  const blank = lineEnds(lines)
  // Lines that are put behind a last one without a line end begin with it.
  const start = lines === '' && prefix !== '' && !prefix.endsWith('\n') ? '\n' : ''
  const ended = suffix !== '' || blank > 0 || (lines === '' && start === '')
  const ends = Math.max(Math.min(lineEnds(said), blank), ended ? 1 : 0)
  const text = start + begun + '\n'.repeat(ends)
  return crlf ? text.replaceAll('\n', '\r\n') : text
}

function lineEnds(text: string): number {
  return /(?:\r?\n)*$/.exec(text)?.[0].match(/\n/g)?.length ?? 0
}

function withoutWrapping(reply: string, tag: string, original: string): string {
  const said = reply.replace(/^\s*<think>[\s\S]*?<\/think>\n*/, '')
  const bare = withoutFences(said, original)
  const tagged = new RegExp(`^\\s*<${tag}>([\\s\\S]*)</${tag}>\\s*$`).exec(bare)
  return tagged?.[1] ?? bare
}

const fence = /^[ \t]*(`{3,}|~{3,})[^`\n]*$/

/** What is inside of the fence around all of it; inside of the first fence where words are around that. Fences that belong to the text itself stay. */
function withoutFences(said: string, original: string): string {
  const lines = said.split('\n')
  const open = lines.findIndex((line) => fence.test(line))
  if (open < 0) return said
  const words = lines.slice(0, open).some((line) => line.trim() !== '')
  if (original.split('\n').some((line) => fence.test(line))) {
    const end = lines.findLastIndex((line) => line.trim() !== '')
    return !words && wrapsAll(lines, open, end) ? lines.slice(open + 1, end).join('\n') : said
  }
  const sign = fence.exec(lines[open] as string)?.[1] as string
  const close = lines.findIndex((line, index) => index > open && line.trim().startsWith(sign) && /^[`~]+$/.test(line.trim()))
  return lines.slice(open + 1, close < 0 ? undefined : close).join('\n')
}

/** Whether the fence at `open` is closed at `end` and not before, where what opens another one names a language. */
function wrapsAll(lines: readonly string[], open: number, end: number): boolean {
  let depth = 0
  for (let at = open; at <= end; at++) {
    const line = lines[at] as string
    if (!fence.test(line)) continue
    depth += at === open || /[^`~\s]/.test(line) ? 1 : -1
    if (depth === 0) return at === end
  }
  return false
}

/** Without the lines before the cursor, the one that it is in included, where the reply begins with them. */
function withoutHead(said: string, prefix: string): string {
  const lines = prefix.split('\n')
  for (let count = Math.min(lines.length, maxRepeatedLines); count > 0; count--) {
    const tail = lines.slice(-count).join('\n')
    for (const repeated of [tail, tail.trimStart()]) {
      if (repeated.trim().length >= minRepeated && said.startsWith(repeated)) return said.slice(repeated.length)
    }
  }
  return said
}

/** Without the lines after the cursor, the rest of its own included, where the reply ends with them; a bracket alone only where it closes nothing of the reply. */
function withoutTail(said: string, suffix: string): string {
  const lines = suffix.split('\n')
  for (let count = Math.min(lines.length, maxRepeatedLines); count > 0; count--) {
    const head = lines.slice(0, count).join('\n')
    for (const repeated of [head, head.trimEnd()]) {
      const text = repeated.trim()
      if (text === '' || !said.trimEnd().endsWith(repeated.trimEnd())) continue
      const rest = said.trimEnd().slice(0, said.trimEnd().length - repeated.trimEnd().length)
      if (text.length >= minRepeated ? rest.trim() !== '' || said.trim() === text : opens(said) < closes(said)) return rest
    }
  }
  return said
}

function opens(text: string): number {
  return text.match(/[([{]/g)?.length ?? 0
}

function closes(text: string): number {
  return text.match(/[)\]}]/g)?.length ?? 0
}

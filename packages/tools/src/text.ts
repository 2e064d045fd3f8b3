/** The lines of a text; a newline at the end begins no further line. */
export function linesOf(text: string): string[] {
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  return lines
}

/** A line or other short text, cut to so many characters, with a word on what is missing. */
export function cutText(text: string, maxLength: number): string {
  if (text.length <= maxLength) return text
  const head = text.slice(0, maxLength)
  const end = head.isWellFormed() || !text.isWellFormed() ? maxLength : maxLength - 1
  return `${text.slice(0, end)}… [${text.length - end} more characters]`
}

/** `1 line`, `2 lines`, `1,200 lines`. */
export function count(number: number, noun: string): string {
  const plural = /(ch|sh|x|s)$/.test(noun) ? `${noun}es` : `${noun}s`
  return `${number.toLocaleString('en-US')} ${number === 1 ? noun : plural}`
}

/** The line, from 1, that a position is on. */
export function lineAt(text: string, position: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < position; at = text.indexOf('\n', at + 1)) line++
  return line
}

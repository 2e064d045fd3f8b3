/** A line that was sent to a shell; the text where it is certain. */
export interface SentLine {
  readonly text: string | undefined
  /** `performance.now()`. */
  readonly at: number
}

/** Follows what a person types at a shell that cannot tell it. */
export interface TypedLine {
  type(data: Uint8Array): void
  /** The shell asks for a command. Says which it has read since it last did; undefined: none. */
  prompt(): SentLine | undefined
  /** The shell asks for a further line of the command. */
  more(): void
  /** What was sent and is not answered by a prompt yet. */
  sent(): SentLine | undefined
}

/** A terminal's answer to the question where its cursor is (ECMA-48 CPR); nobody typed it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it begins with one
const cursorReport = /\x1b\[\d+;\d+R/g

/**
 * What is typed at the prompt is for the shell; the text is certain while it is plain characters, backspace (^H, ^?) and ^U. What is typed while a command runs
 * may be for that command, so what the shell reads of it later has no certain text, and is missed where that command has taken some lines of it. `onSent` hears of each line that ends.
 */
export function createTypedLine(onSent: () => void): TypedLine {
  const decoder = new TextDecoder()
  let atPrompt = false
  let line: string | undefined = ''
  let lines: (string | undefined)[] = []
  let sentAt: number | undefined
  let ahead: boolean[] = []

  const key = (character: string): void => {
    if (character === '\r' || character === '\n') {
      if (atPrompt) {
        lines.push(line)
        sentAt = performance.now()
        atPrompt = false
        ahead = []
        onSent()
      } else ahead.push(line?.trim() === '')
      line = ''
    } else if ('\x03\x04\x15\x1a\x1c'.includes(character)) {
      line = ''
      if (character === '\x03' && atPrompt) lines = []
    } else if (character === '\b' || character === '\x7f') line = line === undefined ? undefined : [...line].slice(0, -1).join('')
    else if (character < ' ') line = undefined
    else if (line !== undefined) line += character
  }
  const textOf = (): string | undefined => (lines.includes(undefined) ? undefined : lines.join('\n'))
  const isBlank = (): boolean => textOf()?.trim() === ''
  return {
    type(data) {
      for (const character of decoder.decode(data, { stream: true }).replaceAll(cursorReport, '')) key(character)
    },
    prompt() {
      const now = performance.now()
      const early = sentAt === undefined ? ahead.shift() : undefined
      let result: SentLine | undefined
      if (sentAt !== undefined && lines.length > 0 && !isBlank()) result = { text: textOf(), at: sentAt }
      else if (early === false) result = { text: undefined, at: now }
      // Keys that were struck while the command ran may be the beginning of this line, or may have been for the command.
      if (!atPrompt && line !== '') line = undefined
      atPrompt = true
      lines = []
      sentAt = undefined
      return result
    },
    more() {
      if (!atPrompt && line !== '') line = undefined
      atPrompt = true
    },
    sent: () => (sentAt === undefined || atPrompt || lines.length === 0 || isBlank() ? undefined : { text: textOf(), at: sentAt }),
  }
}

/** One event of a stream. */
export interface ServerSentEvent {
  /** Undefined for the default type, `message`. */
  readonly type: string | undefined
  readonly data: string
}

/** Longest event that is taken: an endless line must not fill the memory. */
const maxEventCharacters = 64 * 1024 * 1024

/**
 * Reads server-sent events from pieces of text that may be cut anywhere.
 * Only what model streams use of https://html.spec.whatwg.org/multipage/server-sent-events.html: `event`, `data`, comments, and LF or CRLF as line ends.
 */
export interface EventParser {
  /** The events that a piece of text completes. */
  feed(text: string): ServerSentEvent[]
  /** The event that the end of the stream completes: some servers leave out the last empty line. */
  end(): ServerSentEvent | undefined
}

/** Makes an {@link EventParser} for one stream. */
export function createEventParser(): EventParser {
  let rest = ''
  let type: string | undefined
  let data: string | undefined

  function takeLine(line: string): ServerSentEvent | undefined {
    if (line === '' || line === '\r') return dispatch()
    const end = line.endsWith('\r') ? line.length - 1 : line.length
    if (line.startsWith('data:')) {
      const value = line.slice(line[5] === ' ' ? 6 : 5, end)
      data = data === undefined ? value : `${data}\n${value}`
    } else if (line.startsWith('event:')) type = line.slice(6, end).trim()
    return undefined
  }

  function dispatch(): ServerSentEvent | undefined {
    const event = data === undefined ? undefined : { type, data }
    type = undefined
    data = undefined
    return event
  }

  return {
    feed(text) {
      const events: ServerSentEvent[] = []
      const buffer = rest === '' ? text : rest + text
      let start = 0
      for (let newline = buffer.indexOf('\n'); newline >= 0; newline = buffer.indexOf('\n', start)) {
        const event = takeLine(buffer.slice(start, newline))
        if (event) events.push(event)
        start = newline + 1
      }
      rest = start === 0 ? buffer : buffer.slice(start)
      if (rest.length + (data?.length ?? 0) > maxEventCharacters) throw new RangeError('an event of the stream is longer than 64 MiB')
      return events
    },
    end() {
      const event = rest === '' ? undefined : takeLine(rest)
      rest = ''
      return event ?? dispatch()
    },
  }
}

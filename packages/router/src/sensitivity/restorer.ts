import type { PlaceholderTable } from './placeholder-table.ts'
import { redacted } from './placeholders.ts'

/** Puts values back in a text that comes in pieces. */
export interface Restorer {
  /** Takes the next piece, and returns what is certain by now. */
  push(text: string): string
  /** Returns what was held back. */
  end(): string
}

const anyPlaceholder = new RegExp(redacted.source, 'g')
/** The beginning of what may become a placeholder. */
const unfinished = /\[(?:\[(?:[a-z][a-z0-9-]*(?::(?:\d{1,9}\]?)?)?)?)?$/
/** Longer than any placeholder. */
const maxPlaceholder = 120

export function createRestorer(table: Pick<PlaceholderTable, 'valueOf'>, json: boolean): Restorer {
  let held = ''
  const restored = (text: string): string =>
    text.replace(anyPlaceholder, (placeholder) => {
      const value = table.valueOf(placeholder)
      if (value === undefined) return placeholder
      return json ? JSON.stringify(value).slice(1, -1) : value
    })
  return {
    push(text) {
      const whole = held + text
      const tail = whole.slice(-maxPlaceholder)
      const cut = unfinished.exec(tail)
      held = cut ? tail.slice(cut.index) : ''
      return restored(whole.slice(0, whole.length - held.length))
    },
    end() {
      const rest = restored(held)
      held = ''
      return rest
    },
  }
}

import { styleText } from 'node:util'
import type { Event, LiveEvent, LoggedEvent, RunResult } from '@baton-sdk/core'
import { isKnown } from '@baton-sdk/core'

type Style = Parameters<typeof styleText>[0]

/** Shows a task's events to a person: in colour and as they come on a terminal, as plain lines elsewhere. */
export interface Timeline {
  header(title: string, notes: readonly string[]): void
  line(text: string): void
  /** Shows events until they end. */
  follow(events: AsyncIterable<LoggedEvent | LiveEvent>): Promise<void>
  footer(result: RunResult, changes: readonly { readonly path: string; readonly change: string }[]): void
}

const gutter = { human: '◆', agent: '●', system: '·' } as const
const colours = { human: 'magenta', agent: 'cyan', system: 'gray' } as const
// A terminal that does not know its size says 0.
const width = Math.min(process.stdout.columns || 100, 120)

/** Makes a timeline on standard output. */
export function createTimeline(): Timeline {
  const live = process.stdout.isTTY
  const paint = (style: Style, text: string): string => (live ? styleText(style, text) : text)
  let start: number | undefined
  /** What the model is saying, on one line that is written over. */
  let preview = ''

  function write(event: LoggedEvent, text: string, style?: Style): void {
    breakLine()
    start ??= Date.parse(event.time)
    const time = `${((Date.parse(event.time) - start) / 1000).toFixed(2)}s`.padStart(8)
    const { kind, name, id } = event.actor
    const who = (name ?? (kind === 'system' ? 'baton' : id)).slice(0, 8).padEnd(8)
    const [first = '', ...rest] = text.split('\n')
    console.log(`${paint('gray', time)} ${paint(colours[kind], `${gutter[kind]} ${who}`)} ${style ? paint(style, first) : first}`)
    for (const line of rest) indent(line, style)
  }

  function indent(line: string, style?: Style): void {
    console.log(`${' '.repeat(20)}${style ? paint(style, line) : line}`)
  }

  function showPreview(text: string): void {
    preview = text.replaceAll('\n', ' ')
    process.stdout.write(`\r\u001b[K${' '.repeat(20)}${paint('gray', preview.slice(-(width - 22)))}`)
  }

  function breakLine(): void {
    if (preview) process.stdout.write('\r\u001b[K')
    preview = ''
  }

  function showDiff(diff: string): void {
    for (const line of diff.split('\n')) {
      if (line.startsWith('+++') || line.startsWith('---') || line === '' || /^(Index:|=====)/.test(line)) continue
      indent(line, line.startsWith('+') ? 'green' : line.startsWith('-') ? 'red' : 'gray')
    }
  }

  function tail(text: string, lines: number, style: Style): void {
    const all = text.trimEnd().split('\n')
    if (all.length > lines) indent(`… ${all.length - lines} lines before`, 'gray')
    for (const line of all.slice(-lines)) indent(line.slice(0, width - 20), style)
  }

  const inputs = new Map<string, string>()
  const views: { [K in Event['type']]?: (event: Event<K>) => void } = {
    'run.started': (event) => write(event, 'the run begins', 'bold'),
    'run.paused': (event) => write(event, `paused${event.data.detail ? `: ${event.data.detail}` : ''}`, 'yellow'),
    'run.resumed': (event) => write(event, 'goes on', 'yellow'),
    'warning.raised': (event) => write(event, `! ${event.data.message}`, 'yellow'),
    'message.sent': (event) => {
      if (event.data.key?.startsWith('checks-')) return write(event, 'tells the agent what failed')
      write(event, event.actor.kind === 'system' ? 'tells the agent:' : 'says:')
      tail(event.data.text, 20, 'gray')
    },
    'model.failed': (event) => write(event, `${event.data.model} failed (${event.data.error.code}): ${event.data.error.message}`, 'red'),
    'model.finished': (event) => {
      const { text, model, usage, costUsd, ms } = event.data
      const price = costUsd === undefined ? 'price unknown' : `$${costUsd.toFixed(4)}`
      const tokens = usage ? `${usage.inputTokens} → ${usage.outputTokens} tokens, ` : ''
      write(event, paint('gray', `${model}: ${tokens}${price}, ${Math.round(ms)} ms`))
      if (text) for (const line of wrap(text, width - 22)) indent(line)
    },
    'tool.called': (event) => void inputs.set(event.data.callId, summary(event.data.tool, event.data.input)),
    'approval.requested': (event) => write(event, `asks for approval: ${event.data.reason}`, 'yellow'),
    'approval.decided': (event) => write(event, `${event.data.decision} ${event.data.approvalId}`, 'yellow'),
    'question.asked': (event) => write(event, `asks: ${event.data.text}`, 'yellow'),
    'question.answered': (event) => write(event, `answers: ${event.data.text}`),
    'tool.finished': (event) => {
      const { callId, tool, outcome, output, ms } = event.data
      // A command that fails is a result like any other; what it said follows.
      const failed = tool === 'shell' && !/\[exit code 0\]\s*$/.test(output)
      const mark = outcome !== 'ok' ? paint('red', `✗ ${outcome}`) : failed ? paint('yellow', '○') : paint('green', '✓')
      write(event, `${mark} ${inputs.get(callId) ?? tool} ${paint('gray', `${Math.round(ms)} ms`)}`)
      inputs.delete(callId)
      if (tool === 'shell' || outcome !== 'ok') tail(output, 6, 'gray')
    },
    'file.changed': (event) => {
      const { path, change, addedLines = 0, removedLines = 0, diff } = event.data
      write(event, `${change} ${paint('bold', path)} ${paint('green', `+${addedLines}`)} ${paint('red', `-${removedLines}`)}`)
      if (diff) showDiff(diff)
    },
    'sandbox.started': (event) => write(event, `sandbox "${event.data.provider}", isolation: ${event.data.isolation}`, 'gray'),
    'check.finished': (event) => {
      const { command, outcome, exitCode, output, ms } = event.data
      const passed = outcome === 'passed'
      write(
        event,
        `${passed ? '✓' : '✗'} check: ${command} ${passed ? 'passes' : `fails (exit code ${exitCode})`}, ${Math.round(ms)} ms`,
        passed ? 'green' : 'red',
      )
      if (!passed) tail(output, 5, 'gray')
    },
    'context.compacted': (event) => write(event, 'the conversation was summed up', 'gray'),
    'run.finished': (event) =>
      write(event, `the run ends: ${event.data.outcome}${event.data.error ? `: ${event.data.error.message}` : ''}`, 'bold'),
  }

  return {
    header(title, notes) {
      console.log(`\n${paint('bold', title)}`)
      for (const line of notes.flatMap((note) => wrap(note, width))) console.log(paint('gray', line))
      console.log()
    },
    line(text) {
      breakLine()
      console.log(text)
    },
    async follow(events) {
      for await (const event of events) {
        if (!('seq' in event)) {
          // Only worth showing where the line can be written over.
          if (!live) continue
          if (event.type === 'command.output') showPreview(event.data.text.trimEnd().split('\n').at(-1) ?? '')
          else if (event.data.kind === 'text') showPreview(`${preview}${event.data.text}`)
        } else if (isKnown(event)) {
          ;(views[event.type] as ((event: Event) => void) | undefined)?.(event)
        }
      }
      breakLine()
    },
    footer(result, changes) {
      const { steps, inputTokens, outputTokens, costUsd } = result.spent
      // Nothing is known to have been spent where the price is unknown, which is not free.
      const price = costUsd > 0 ? `$${costUsd.toFixed(4)}` : 'price unknown'
      console.log(`\n${steps} model calls, ${inputTokens} → ${outputTokens} tokens, ${price}, ${(result.ms / 1000).toFixed(1)} s`)
      for (const check of result.checks) console.log(`check ${check.command}: ${check.outcome}`)
      for (const { path, change } of changes) console.log(`${change} ${path}`)
    },
  }
}

function summary(tool: string, input: unknown): string {
  const fields = (typeof input === 'object' && input !== null ? input : {}) as Record<string, unknown>
  if (tool === 'shell') return `$ ${String(fields.command)}`
  const main = fields.path ?? fields.pattern ?? fields.question
  return `${tool} ${main === undefined ? '' : String(main)}`.slice(0, width - 30)
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = []
  for (const paragraph of text.split('\n')) {
    let line = ''
    for (const word of paragraph.split(' ')) {
      if (line && line.length + word.length + 1 > columns) {
        lines.push(line)
        line = ''
      }
      line = line ? `${line} ${word}` : word
    }
    lines.push(line)
  }
  return lines
}

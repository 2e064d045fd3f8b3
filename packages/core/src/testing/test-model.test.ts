import { describe, expect, it, vi } from 'vitest'
import type { Model, ModelChunk, ModelRequest } from '../models/model.ts'
import { ModelError } from '../models/model.ts'
import type { Abortable } from '../options.ts'
import type { ScriptedStep } from './script.ts'
import { scriptedModel } from './scripted-model.ts'
import type { ModelUnderTest } from './test-model.ts'
import { testModel } from './test-model.ts'

const key = 'sk-a-secret-of-the-suite'

type Generate = (request: ModelRequest, options: Abortable) => AsyncIterable<ModelChunk>

/** A right model, with something put around what it streams. */
function around(wrap: (generate: Generate, script: readonly ScriptedStep[]) => Generate) {
  return async (script: readonly ScriptedStep[]): Promise<ModelUnderTest> => {
    const inner = scriptedModel(script.map(withoutKey))
    const model: Model = { ...inner, generate: wrap(inner.generate, script) }
    return { model, ended: inner.ended }
  }
}

/** What a provider that quotes keys says, after a right model has cleaned it. */
function withoutKey(step: ScriptedStep): ScriptedStep {
  if (!('error' in step)) return step
  return { ...step, error: { ...step.error, message: step.error.message?.replaceAll(key, '[redacted]') } }
}

/** A right model, with something done to each chunk. */
const mapping = (map: (chunk: ModelChunk) => readonly ModelChunk[]) =>
  around(
    (generate) =>
      async function* (request, options) {
        for await (const chunk of generate(request, options)) yield* map(chunk)
      },
  )

/** Names of the suite's tests that fail. */
async function failing(create: (script: readonly ScriptedStep[]) => Promise<ModelUnderTest>): Promise<string[]> {
  const tests: [string, () => Promise<void>][] = []
  testModel((name, run) => tests.push([name, run]), { create, secrets: [key] })
  const failed: string[] = []
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    for (const [name, run] of tests) {
      const ran = run().catch(() => failed.push(name))
      // What hangs, hangs for ever: the suite's own limit ends it.
      const isSettled = await Promise.race([ran.then(() => true), turns(50).then(() => false)])
      if (!isSettled) await vi.advanceTimersByTimeAsync(10_000)
      await ran
    }
  } finally {
    vi.useRealTimers()
  }
  return failed
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

const last: { text: string } = { text: '' }

const broken: Record<string, [(script: readonly ScriptedStep[]) => Promise<ModelUnderTest>, string]> = {
  'adds a finish to a cut reply': [
    around(
      (generate) =>
        async function* (request, options) {
          let finished = false
          for await (const chunk of generate(request, options)) {
            finished ||= chunk.type === 'finish'
            yield chunk
          }
          if (!finished) yield { type: 'finish', reason: 'stop' }
        },
    ),
    'never passes off a reply that breaks after 3 pieces as a whole one',
  ],
  'finishes twice': [
    mapping((chunk) => (chunk.type === 'finish' ? [chunk, chunk] : [chunk])),
    'streams text, whatever its characters, and ends with exactly one finish',
  ],
  'collects the reply before it passes it on': [
    around(
      (generate) =>
        async function* (request, options) {
          const chunks = []
          for await (const chunk of generate(request, options)) chunks.push(chunk)
          yield* chunks
        },
    ),
    'passes on what has come while the rest is still under way',
  ],
  'swallows failures': [
    around(
      (generate) =>
        async function* (request, options) {
          try {
            yield* generate(request, options)
          } catch (error) {
            if (!(error instanceof ModelError)) throw error
          }
        },
    ),
    'fails with the kind rate-limited',
  ],
  'calls every failure a failure of the server': [
    around(
      (generate) =>
        async function* (request, options) {
          try {
            yield* generate(request, options)
          } catch (error) {
            throw error instanceof ModelError ? new ModelError('server', error.message) : error
          }
        },
    ),
    'fails with the kind context-too-long',
  ],
  'forgets how long to wait': [
    around(
      (generate) =>
        async function* (request, options) {
          try {
            yield* generate(request, options)
          } catch (error) {
            throw error instanceof ModelError ? new ModelError(error.kind, error.message, { status: error.status }) : error
          }
        },
    ),
    'passes on how long the provider asks to wait',
  ],
  'tries again by itself': [
    around(
      (generate) =>
        async function* (request, options) {
          try {
            yield* generate(request, options)
          } catch (error) {
            if (!(error instanceof ModelError && error.retryable)) throw error
            yield* generate(request, options)
          }
        },
    ),
    'makes no retries of its own',
  ],
  'ignores the signal': [around((generate) => (request) => generate(request, {})), 'sends nothing when the signal is aborted already'],
  'takes an abort for an end': [
    around(
      (generate) =>
        async function* (request, options) {
          try {
            yield* generate(request, options)
          } catch (error) {
            if (!options.signal?.aborted) throw error
          }
        },
    ),
    'stops when the signal aborts in the middle, and lets the connection go',
  ],
  'goes on when nobody reads': [
    around((generate) => (request, options) => {
      const chunks = generate(request, options)[Symbol.asyncIterator]()
      return { [Symbol.asyncIterator]: () => ({ next: () => chunks.next() }) }
    }),
    'lets the connection go when its reader stops early',
  ],
  'waits for a piece before it can be stopped': [
    around(
      (generate) =>
        async function* (request, options) {
          yield* generate(request, options)
        },
    ),
    'lets the connection go when its reader stops while it waits',
  ],
  'listens to the signal for ever': [
    around((generate) => (request, options) => {
      options.signal?.addEventListener('abort', () => {})
      return generate(request, options)
    }),
    'leaves nothing on the signal of its caller',
  ],
  'makes one of parallel calls': [
    mapping((chunk) => [chunk.type === 'tool-call' ? { ...chunk, index: 0 } : chunk]),
    'keeps parallel tool calls apart and in order',
  ],
  'mends malformed arguments': [
    mapping((chunk) => [
      chunk.type === 'tool-call' ? { ...chunk, arguments: chunk.arguments.replace('never ends', 'never ends"}') } : chunk,
    ]),
    'leaves malformed arguments as they are',
  ],
  'names a call late': [
    mapping((chunk) => [chunk.type === 'tool-call' && chunk.name !== undefined ? { ...chunk, name: undefined } : chunk]),
    'passes a tool call whose arguments come in pieces',
  ],
  'forgets what was cached': [
    mapping((chunk) =>
      chunk.type === 'finish' && chunk.usage
        ? [{ ...chunk, usage: { inputTokens: chunk.usage.inputTokens, outputTokens: chunk.usage.outputTokens } }]
        : [chunk],
    ),
    'reports usage, with what was cached and what was reasoning',
  ],
  'invents usage': [
    mapping((chunk) => (chunk.type === 'finish' ? [{ ...chunk, usage: chunk.usage ?? { inputTokens: 0, outputTokens: 0 } }] : [chunk])),
    'reports no usage where the provider did not',
  ],
  'shows reasoning as text': [
    mapping((chunk) => [chunk.type === 'reasoning' ? { type: 'text', text: chunk.text } : chunk]),
    'keeps reasoning apart from text',
  ],
  'breaks characters': [
    mapping((chunk) => [chunk.type === 'text' ? { ...chunk, text: chunk.text.replace(/[^\0-\x7f]/gu, '?') } : chunk]),
    'streams text, whatever its characters, and ends with exactly one finish',
  ],
  'shares a buffer between calls': [
    mapping((chunk) => {
      if (chunk.type !== 'text') return [chunk]
      last.text = chunk.text
      return [
        {
          type: 'text',
          get text() {
            return last.text
          },
        },
      ]
    }),
    'keeps replies apart that come at once',
  ],
  'quotes its key': [
    around(
      (generate, script) =>
        async function* (request, options) {
          try {
            yield* generate(request, options)
          } catch (error) {
            if (!(error instanceof ModelError)) throw error
            const step = script[0]
            throw new ModelError(error.kind, error.message, { cause: step && 'error' in step ? step.error.message : undefined })
          }
        },
    ),
    'keeps its key out of an error of the kind unauthorized',
  ],
}

describe('testModel', () => {
  describe('on scriptedModel', () => {
    testModel(it, {
      secrets: [key],
      async create(script) {
        const model = scriptedModel(script.map(withoutKey))
        return { model, ended: model.ended }
      },
    })
  })

  it('finds nothing wrong with a right model', async () => {
    expect(await failing(around((generate) => generate))).toEqual([])
  })

  it.each(Object.entries(broken))('finds out a model that %s', async (_name, [create, test]) => {
    expect(await failing(create)).toContain(test)
  })
})

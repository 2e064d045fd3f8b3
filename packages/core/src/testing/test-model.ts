import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { inspect } from 'node:util'
import { BatonError } from '../errors.ts'
import type { Usage } from '../events/model-events.ts'
import type { Model, ModelChunk, ModelErrorKind, ModelRequest } from '../models/model.ts'
import { ModelError } from '../models/model.ts'
import type { TestFunction } from './conformance.ts'
import { collect, expectRejection } from './conformance.ts'
import type { ScriptedReply, ScriptedStep } from './script.ts'

/** A model that plays a script, and how to see what it does to the other side. */
export interface ModelUnderTest {
  readonly model: Model
  /**
   * Resolves when the transfer of a call (from 1) is over, as the other side sees it: `sent` when the reply went out whole, `gone` when the model
   * ended it before that. Without it, the suite cannot see whether a connection is released.
   */
  ended?(call: number): Promise<'sent' | 'gone'>
  close?(): Promise<void>
}

/** Options of {@link testModel}. */
export interface TestModelOptions {
  /** Builds a model whose provider answers with these steps, in order: with `startScriptedServer` for one that speaks OpenAI's protocol. */
  create(script: readonly ScriptedStep[]): Promise<ModelUnderTest>
  /** Keys that it is created with. The suite has the provider quote them, and looks for them in every error. */
  readonly secrets?: readonly string[] | undefined
  /** Whether the protocol can carry reasoning. Default true. */
  readonly reasoning?: boolean | undefined
  /** Whether the protocol tells a refusal from text. Default true. */
  readonly refusals?: boolean | undefined
  /** Whether the protocol can leave out usage. Default true. */
  readonly optionalUsage?: boolean | undefined
}

const longText = 'Ein längerer Text, der in viele Stücke zerfällt: 日本語, emoji 🙂🚀, "quotes", \\ and\nlines. '.repeat(4)
const waitForThatMs = 10_000

/**
 * The conformance suite of {@link Model}: what every provider owes to the executor.
 *
 * @param it - `it` of vitest, `test` of node:test, or anything of their shape
 */
export function testModel(it: TestFunction, options: TestModelOptions): void {
  const secrets = options.secrets ?? []
  const withModel = (name: string, script: readonly ScriptedStep[], run: (target: ModelUnderTest) => Promise<void>) =>
    it(name, async () => {
      const target = await options.create(script)
      try {
        await inTime(run(target), name)
      } finally {
        await target.close?.()
      }
    })
  const withReply = (name: string, reply: ScriptedReply, check: (chunks: readonly ModelChunk[]) => void) =>
    withModel(name, [reply], async ({ model }) => check(await collect(model.generate(requestOf(), {}))))

  withReply('streams text, whatever its characters, and ends with exactly one finish', { text: longText }, (chunks) => {
    assert.equal(textOf(chunks, 'text'), longText)
    assert.deepEqual(
      finishes(chunks).map(({ reason }) => reason),
      ['stop'],
    )
    assert.equal(chunks.at(-1)?.type, 'finish')
  })

  withModel('passes on what has come while the rest is still under way', [{ text: longText, stallAfter: 9 }], async ({ model }) => {
    for await (const chunk of model.generate(requestOf(), {})) {
      assert.equal(chunk.type, 'text')
      return
    }
    assert.fail('the reply ended without a piece of it')
  })

  withReply('ends an empty reply with a finish', {}, (chunks) => {
    assert.deepEqual([textOf(chunks, 'text'), finishes(chunks).length], ['', 1])
  })

  const call = { tool: 'write_file', input: { path: 'src/a.ts', content: 'const a = "ä"\n' } }
  withReply('passes a tool call whose arguments come in pieces', { text: 'Writing.', toolCalls: [call] }, (chunks) => {
    assert.deepEqual(callsOf(chunks), [{ name: 'write_file', arguments: JSON.stringify(call.input) }])
    assert.equal(finishes(chunks)[0]?.reason, 'tool-calls')
    assert.equal(textOf(chunks, 'text'), 'Writing.')
  })

  const parallel = [call, { tool: 'read_file', input: { path: 'src/b.ts' } }, { tool: 'read_file', input: {} }]
  withReply('keeps parallel tool calls apart and in order', { toolCalls: parallel }, (chunks) => {
    assert.deepEqual(
      callsOf(chunks),
      parallel.map(({ tool, input }) => ({ name: tool, arguments: JSON.stringify(input) })),
    )
  })

  const malformed = '{"path": "src/a.ts", "content": "never ends'
  withReply('leaves malformed arguments as they are', { toolCalls: [{ tool: 'write_file', arguments: malformed }] }, (chunks) => {
    assert.deepEqual(callsOf(chunks), [{ name: 'write_file', arguments: malformed }])
  })

  const usage: Usage = { inputTokens: 1_000, outputTokens: 200, cachedInputTokens: 800, reasoningTokens: 50 }
  withReply('reports usage, with what was cached and what was reasoning', { text: 'x', usage }, (chunks) => {
    const { cacheWriteTokens: _, ...reported } = finishes(chunks)[0]?.usage ?? {}
    assert.deepEqual(reported, usage)
  })

  if (options.optionalUsage !== false)
    withReply('reports no usage where the provider did not', { text: 'x', usage: null }, (chunks) => {
      assert.equal(finishes(chunks)[0]?.usage, undefined)
    })

  for (const reason of ['length', 'content-filter'] as const)
    withReply(`says when a reply ended by ${reason}`, { text: 'half a', finishReason: reason }, (chunks) => {
      assert.deepEqual([textOf(chunks, 'text'), finishes(chunks)[0]?.reason], ['half a', reason])
    })

  if (options.refusals !== false)
    withReply('passes a refusal as one', { refusal: 'I would rather not do that.' }, (chunks) => {
      assert.deepEqual([textOf(chunks, 'refusal'), textOf(chunks, 'text')], ['I would rather not do that.', ''])
      assert.equal(finishes(chunks)[0]?.reason, 'refusal')
    })

  if (options.reasoning !== false)
    withReply('keeps reasoning apart from text', { reasoning: 'First, look.', text: 'Done.' }, (chunks) => {
      assert.deepEqual([textOf(chunks, 'reasoning'), textOf(chunks, 'text')], ['First, look.', 'Done.'])
    })

  const kinds: readonly ModelErrorKind[] = [
    'rate-limited',
    'quota',
    'overloaded',
    'server',
    'network',
    'unauthorized',
    'unknown-model',
    'context-too-long',
    'bad-request',
    'content-filter',
  ]
  for (const kind of kinds)
    withModel(`fails with the kind ${kind}`, [{ error: { kind } }], async ({ model }) => {
      const error = await failureOf(model)
      assert.equal(error.kind, kind)
    })

  withModel(
    'passes on how long the provider asks to wait',
    [{ error: { kind: 'rate-limited', retryAfterMs: 1_500, status: 429 } }],
    async ({ model }) => {
      const error = await failureOf(model)
      assert.deepEqual([error.retryAfterMs, error.status, error.retryable], [1_500, 429, true])
    },
  )

  withModel('makes no retries of its own', [{ error: { kind: 'server' } }, { text: 'the second answer' }], async ({ model }) => {
    await failureOf(model)
    assert.equal(textOf(await collect(model.generate(requestOf(), {})), 'text'), 'the second answer')
  })

  for (const cutAfter of [0, 1, 3, 7])
    withModel(
      `never passes off a reply that breaks after ${cutAfter} pieces as a whole one`,
      [{ reasoning: 'hm', text: longText, toolCalls: [call], cutAfter }],
      async ({ model }) => {
        const chunks: ModelChunk[] = []
        try {
          for await (const chunk of model.generate(requestOf(), {})) chunks.push(chunk)
        } catch (error) {
          assert(error instanceof ModelError, `expected a ModelError, got ${inspect(error)}`)
          assert(error.retryable, `a broken stream can be tried again; this is ${error.kind}`)
        }
        assert.deepEqual(finishes(chunks), [])
      },
    )

  withModel('sends nothing when the signal is aborted already', [{ text: 'the first' }], async ({ model }) => {
    await expectRejection(collect(model.generate(requestOf(), { signal: AbortSignal.abort() })), 'ABORTED')
    assert.equal(textOf(await collect(model.generate(requestOf(), {})), 'text'), 'the first')
  })

  withModel('stops when the signal aborts before the first piece, and lets the connection go', [{ stallAfter: 0 }], async (target) => {
    const abort = new AbortController()
    const chunks = collect(target.model.generate(requestOf(), { signal: abort.signal }))
    setImmediate(() => abort.abort(new Error('changed my mind')))
    const error = await expectRejection(chunks, 'ABORTED')
    assert.match(error.message, /changed my mind/)
    assert.notEqual(await target.ended?.(1), 'sent')
  })

  withModel(
    'stops when the signal aborts in the middle, and lets the connection go',
    [{ text: longText, stallAfter: 9 }],
    async (target) => {
      const abort = new AbortController()
      const read = async () => {
        for await (const chunk of target.model.generate(requestOf(), { signal: abort.signal }))
          if (chunk.type === 'text') setImmediate(() => abort.abort())
      }
      await expectRejection(read(), 'ABORTED')
      assert.notEqual(await target.ended?.(1), 'sent')
    },
  )

  withModel('lets the connection go when its reader stops early', [{ text: longText, stallAfter: 9 }], async (target) => {
    for await (const chunk of target.model.generate(requestOf(), {})) if (chunk.type === 'text') break
    assert.notEqual(await target.ended?.(1), 'sent')
  })

  withModel('lets the connection go when its reader stops while it waits', [{ text: longText, stallAfter: 9 }], async (target) => {
    const chunks = target.model.generate(requestOf(), {})[Symbol.asyncIterator]()
    await chunks.next()
    const waiting = untilDone(chunks)
    await new Promise((resolve) => setImmediate(resolve))
    await chunks.return?.()
    await waiting
    assert.notEqual(await target.ended?.(1), 'sent')
  })

  withModel('reads a whole reply to its end', [{ text: longText }], async (target) => {
    await collect(target.model.generate(requestOf(), {}))
    assert.notEqual(await target.ended?.(1), 'gone')
  })

  withModel(
    'leaves nothing on the signal of its caller',
    [{ text: 'x' }, { error: { kind: 'server' } }, { text: 'x', stallAfter: 0 }],
    async ({ model }) => {
      const { signal } = new AbortController()
      await collect(model.generate(requestOf(), { signal }))
      await failureOf(model, signal)
      const chunks = model.generate(requestOf(), { signal })[Symbol.asyncIterator]()
      const waiting = untilDone(chunks)
      await new Promise((resolve) => setImmediate(resolve))
      await chunks.return?.()
      await waiting
      assert.equal(getEventListeners(signal, 'abort').length, 0)
    },
  )

  const crowd = Array.from({ length: 20 }, (_, index) => `${index}: ${longText}`)
  withModel(
    'keeps replies apart that come at once',
    crowd.map((text) => ({ text })),
    async ({ model }) => {
      const replies = await Promise.all(crowd.map(() => collect(model.generate(requestOf(), {}))))
      assert.deepEqual(replies.map((chunks) => textOf(chunks, 'text')).sort(), [...crowd].sort())
    },
  )

  for (const secret of secrets)
    for (const kind of ['unauthorized', 'bad-request', 'unknown-model', 'server', 'network'] as const)
      withModel(
        `keeps its key out of an error of the kind ${kind}`,
        [{ error: { kind, message: `the key "${secret}" is wrong` } }],
        async ({ model }) => {
          const error = await failureOf(model)
          for (const text of [inspect(error, { depth: 12, showHidden: true }), JSON.stringify(error), error.message, String(error.stack)])
            assert(!text.includes(secret), 'the error holds the key')
        },
      )
}

function requestOf(text = 'hello'): ModelRequest {
  return { messages: [{ role: 'user', parts: [{ type: 'text', text }] }] }
}

/** Reads to the end; one who stopped reading gets no error. */
async function untilDone(chunks: AsyncIterator<ModelChunk>): Promise<void> {
  for (let result = await chunks.next(); !result.done; result = await chunks.next());
}

async function failureOf(model: Model, signal?: AbortSignal): Promise<ModelError> {
  const chunks = collect(model.generate(requestOf(), { signal }))
  const error = await chunks.then(
    (value) => assert.fail(`expected a ModelError, but the call ended with ${inspect(value)}`),
    (reason: unknown) => reason,
  )
  assert(error instanceof ModelError, `expected a ModelError, got ${inspect(error)}`)
  assert(BatonError.isInstance(error))
  return error
}

/** Fails a check that would wait for ever. */
async function inTime(run: Promise<void>, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new assert.AssertionError({ message: `${what}: still waiting after ${waitForThatMs / 1000} s` })),
      waitForThatMs,
    )
  })
  try {
    await Promise.race([run, late])
  } finally {
    clearTimeout(timer)
  }
}

function textOf(chunks: readonly ModelChunk[], type: 'text' | 'reasoning' | 'refusal'): string {
  return chunks.map((chunk) => (chunk.type === type ? chunk.text : '')).join('')
}

function finishes(chunks: readonly ModelChunk[]) {
  return chunks.filter((chunk) => chunk.type === 'finish')
}

/** The calls of a reply, put together as the contract says: id and name with the first piece, arguments concatenated. */
function callsOf(chunks: readonly ModelChunk[]): { name: string; arguments: string }[] {
  const calls: { name: string; arguments: string }[] = []
  for (const chunk of chunks) {
    if (chunk.type !== 'tool-call') continue
    const known = calls[chunk.index]
    if (known) known.arguments += chunk.arguments
    else {
      assert.equal(chunk.index, calls.length, 'calls are numbered from 0 in the order in which they begin')
      assert(chunk.name !== undefined, 'the first piece of a call has its name')
      calls.push({ name: chunk.name, arguments: chunk.arguments })
    }
  }
  return calls
}

import { startScriptedServer } from '@baton-sdk/core/testing'

/**
 * The model of all contestants, in a process of its own: it calls `add` as often as the name of the model says (`steps-20`), with other
 * numbers each time, and then says so. `steps-20-chars-2000` says so many characters with each call, in pieces of five, which is about
 * a token.
 */
const script = (request: { readonly body: Readonly<Record<string, unknown>>; readonly turn: number }) => {
  const [, steps = '0', , chars] = String(request.body.model).split('-')
  if (request.turn >= Number(steps)) return { text: `Done after ${steps} steps.` }
  const text = chars === undefined ? `Step ${request.turn + 1}: I add the next pair of numbers.` : words.slice(0, Number(chars))
  return { text, toolCalls: [{ tool: 'add', input: { a: request.turn, b: 1 } }] }
}
const words = 'all work and no play '.repeat(500)

const options = { schemaDir: false, record: false } as const
const [usual, long] = await Promise.all([startScriptedServer(script, options), startScriptedServer(script, { ...options, pieceLength: 5 })])
process.on('disconnect', () => process.exit())
process.send?.({ usual: usual.url, long: long.url })

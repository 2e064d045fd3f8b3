import { describe, expect, it } from 'vitest'
import type { Agent, AgentContext } from '../agents/agent.ts'
import { createModelAgent } from '../agents/model-agent.ts'
import type { TestAgentOptions } from './agent-trial.ts'
import { runSuite } from './run-suite.ts'
import { testAgent } from './test-agent.ts'

const helper: Agent = { name: 'helper', run: async ({ task }) => ({ text: `${task.goal}: helped.` }) }

/** A small agent of every kind of action, with a prompt of its own. */
function createOwnAgent(): Agent {
  return {
    name: 'own',
    async run(context) {
      await context.say('I begin.', { key: 'begin' })
      const seen = await Promise.all(['a', 'b'].map((step) => look(context, step)))
      const answer = await context.ask(`Change ${seen.join(', ')}?`, { key: 'sure' })
      await change(context, 'c')
      const { text } = await context.delegate({ goal: 'part', agent: 'helper' }, { key: 'part' })
      const reply = await context.model({ messages: [{ role: 'user', parts: [{ type: 'text', text: 'Sum up.' }] }], compaction: false })
      return { text: `${answer}; ${text} ${reply.text}` }
    },
  }
}

async function look(context: AgentContext, step: string): Promise<string> {
  return (await context.tool({ callId: `look-${step}`, tool: 'look', input: { step } })).output
}

/** Changes something, again where it was interrupted: the step may be done twice without harm. */
async function change(context: AgentContext, step: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const { outcome } = await context.tool({ callId: `change-${step}-${attempt}`, tool: 'change', input: { step } })
    if (outcome !== 'interrupted') return
  }
}

describe('createModelAgent', () => testAgent(it, { create: () => createModelAgent() }))

describe('an agent with prompts of its own', () =>
  testAgent(it, { create: createOwnAgent, agents: [helper], model: () => ({ text: 'Summed up.' }) }))

describe('an agent without a model', () =>
  testAgent(it, {
    create: () => ({
      name: 'plain',
      async run(context) {
        await look(context, 'a')
        await change(context, 'b')
        await context.say('Done.', { key: 'end' })
        return { text: 'Done.' }
      },
    }),
  }))

/** Names of the suite's tests that an agent fails. */
async function failing(create: TestAgentOptions['create']): Promise<string[]> {
  const results = await runSuite((test) => testAgent(test, { create, agents: [helper], patienceMs: 2_000 }))
  return results.filter(({ failure }) => failure !== undefined).map(({ name }) => name)
}

describe('testAgent', () => {
  const own = (run: Agent['run']) => (): Agent => ({ name: 'broken', run })
  let minted = 0

  const broken: Record<string, [create: TestAgentOptions['create'], name: string]> = {
    'counts its steps outside the log': [
      () => {
        let done = 0
        return {
          name: 'broken',
          async run(context) {
            for (const step of ['a', 'b']) {
              await change(context, step)
              done++
            }
            for (; done < 4; done++) await context.tool({ callId: `more-${done}`, tool: 'change', input: { step: `${done}` } })
            return { text: `I did ${done} things.` }
          },
        }
      },
      'keeps tasks apart that it works on at the same time',
    ],
    'remembers outside the log where it was': [
      () => {
        const said: string[] = []
        return {
          name: 'broken',
          async run(context) {
            const { lastSeq } = context.events
            said.push(await look(context, 'a'))
            await change(context, 'b')
            return { text: lastSeq < 4 ? 'Done.' : `Done, after ${said.length} looks and a break.` }
          },
        }
      },
      'goes on from every prefix of its log to the same end',
    ],
    'mints random call ids': [
      own(async (context) => {
        await context.tool({ callId: `c-${minted++}`, tool: 'change', input: { step: 'a' } })
        await context.tool({ callId: `c-${minted++}`, tool: 'change', input: { step: 'b' } })
        return { text: 'Done.' }
      }),
      'does nothing twice that can change something, wherever it was interrupted',
    ],
    'swallows what its context throws': [
      own(async (context) => {
        await look(context, 'a').catch(() => 'nothing')
        await change(context, 'b').catch(() => {})
        return { text: 'Done.' }
      }),
      'passes on what its context throws',
    ],
    'throws an error of its own for what its context threw': [
      own(async (context) => {
        await look(context, 'a').catch(() => {
          throw new Error('could not look')
        })
        return { text: 'Done.' }
      }),
      'passes on what its context throws',
    ],
    'goes on after a cancel': [
      own(async (context) => {
        await look(context, 'a').catch(() => {})
        await context.say('Looked.', { key: 'looked' }).catch(() => {})
        return { text: 'Done.' }
      }),
      'stops when its run is cancelled, wherever it is',
    ],
    'ignores open calls': [
      own(async (context) => {
        for (;;) {
          const { text, toolCalls } = await context.model()
          if (toolCalls.length === 0) return { text }
          for (const call of toolCalls) await context.tool(call)
        }
      }),
      'gives every call that a model proposed an outcome, after a crash too',
    ],
    'runs only the first of several calls': [
      own(async (context) => {
        for (;;) {
          const [open] = context.openCalls
          if (open) await context.tool(open)
          const { lastReply } = context
          if (lastReply?.toolCalls.length === 0) return { text: lastReply.text }
          await context.model()
        }
      }),
      'gives every call that a model proposed an outcome, after a crash too',
    ],
    'says things under random keys': [
      own(async (context) => {
        await context.say('I begin.', { key: `k-${minted++}` })
        await change(context, 'a')
        return { text: 'Done.' }
      }),
      'says, asks and delegates each thing once, wherever it was interrupted',
    ],
    'asks under random keys': [
      own(async (context) => {
        const answer = await context.ask('Sure?', { key: `k-${minted++}` })
        await change(context, 'a')
        return { text: answer }
      }),
      'says, asks and delegates each thing once, wherever it was interrupted',
    ],
    'delegates under random keys': [
      own(async (context) => {
        const { text } = await context.delegate({ goal: 'part', agent: 'helper' }, { key: `k-${minted++}` })
        await change(context, 'a')
        return { text }
      }),
      'says, asks and delegates each thing once, wherever it was interrupted',
    ],
    'makes an interrupted call under the same id for ever': [
      own(async (context) => {
        for (;;) {
          const { outcome } = await context.tool({ callId: 'a', tool: 'change', input: { step: 'a' } })
          if (outcome === 'ok') return { text: 'Done.' }
        }
      }),
      'comes to an end after a call was interrupted',
    ],
    'leaves calls running': [
      own(async (context) => {
        void context.tool({ callId: 'a', tool: 'look', input: { step: 'a' } })
        return { text: 'Done.' }
      }),
      'ends its turn with text, and leaves nothing running',
    ],
    'ends without text': [own(async () => ({}) as { text: string }), 'ends its turn with text, and leaves nothing running'],
    'does not listen while it works': [
      own(async (context) => {
        for (;;) {
          for (const call of context.openCalls) await context.tool(call)
          const { lastReply } = context
          if (lastReply?.toolCalls.length === 0) return { text: lastReply.text }
          await context.model()
        }
      }),
      'puts what people say while it works before a model, where it asks one about its log',
    ],
    'mixes tasks up': [
      () => {
        let current: AgentContext | undefined
        return {
          name: 'broken',
          async run(context) {
            current = context
            await look(context, 'a')
            await change(current, 'b')
            return { text: 'Done.' }
          },
        }
      },
      'keeps tasks apart that it works on at the same time',
    ],
  }

  it.each(Object.entries(broken))('fails an agent that %s', async (_, [create, name]) => {
    expect(await failing(create)).toContain(name)
  })
})

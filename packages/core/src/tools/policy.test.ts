import { describe, expect, it } from 'vitest'
import type { PolicyOptions } from './policy.ts'
import { createPolicy } from './policy.ts'
import type { PolicyContext } from './tool.ts'

type Autonomy = PolicyContext['autonomy']
type Effect = PolicyContext['effect']

async function decide(options: PolicyOptions, effect: Effect, autonomy: Autonomy = 'supervised', tool = 'shell', input: unknown = {}) {
  const context = { taskId: 't', autonomy, sensitivity: 'internal', effect } as const
  return createPolicy(options).decide({ callId: 'c', tool, input }, context)
}

describe('createPolicy', () => {
  it.each<[Autonomy, string]>([
    ['assist', 'allow propose ask ask'],
    ['supervised', 'allow allow ask ask'],
    ['autonomous', 'allow allow allow allow'],
  ])('goes by autonomy: %s', async (autonomy, expected) => {
    const effects: Effect[] = ['read', 'write', 'execute', 'external']
    const decisions = await Promise.all(effects.map((effect) => decide({}, effect, autonomy)))
    expect(decisions.map(({ decision }) => decision).join(' ')).toBe(expected)
    for (const { decision, reason } of decisions) if (decision === 'ask') expect(reason).toContain(autonomy)
  })

  it('takes the first rule that applies, before the autonomy', async () => {
    const rules: PolicyOptions['rules'] = [
      { tool: 'shell', when: ({ input }) => (input as { command: string }).command.startsWith('rm'), decision: 'deny', reason: 'no rm' },
      { tool: ['shell', 'write'], decision: 'allow' },
      { effect: ['read', 'external'], decision: 'ask' },
      { effect: 'read', decision: 'deny' },
    ]
    expect(await decide({ rules }, 'execute', 'autonomous', 'shell', { command: 'rm -r' })).toEqual({ decision: 'deny', reason: 'no rm' })
    expect(await decide({ rules }, 'execute', 'assist', 'shell', { command: 'ls' })).toMatchObject({ decision: 'allow' })
    expect(await decide({ rules }, 'write', 'assist', 'write')).toMatchObject({ decision: 'allow' })
    expect(await decide({ rules }, 'read', 'autonomous', 'look')).toMatchObject({ decision: 'ask' })
    expect(await decide({ rules }, 'write', 'assist', 'other')).toMatchObject({ decision: 'propose' })
    expect(await decide({ rules: [{ decision: 'propose' }] }, 'write', 'autonomous')).toEqual({ decision: 'propose' })
  })

  it.each<[string, unknown]>([
    ['rules.0.decision', { rules: [{ decision: 'perhaps' }] }],
    ['rules.0.effect', { rules: [{ effect: 'fly', decision: 'deny' }] }],
    ['rules.0.when', { rules: [{ when: true, decision: 'deny' }] }],
    ['autonomy', { autonomy: 'autonomous' }],
  ])('names what is wrong: %s', (field, options) => {
    expect(() => createPolicy(options as PolicyOptions)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining(field) }),
    )
  })
})

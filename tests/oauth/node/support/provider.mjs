// The outside provider that people are sent to: a process of its own, which ends with the script.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { facts } from './parts.mjs'

export const PROVIDER = facts.provider.url

/** Starts the process; `tell` has it do a command of `issuer.mjs`. It listens once it is told to `start`. */
export async function prepareProvider() {
  const script = fileURLToPath(new URL('../issuer.mjs', import.meta.url))
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', 'node', script], {
    env: { ...process.env, FACTS: JSON.stringify(facts.provider) },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const tell = async (...command) => {
    child.stdin.write(`${JSON.stringify(command)}\n`)
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error(`the provider ended at ${command}`)
      // It says on standard output, too, what it warns of.
      try {
        return JSON.parse(value)
      } catch {}
    }
  }
  await tell('send_back_to', `${facts.issuer}/oauth/callback`)
  return tell
}

/** The same, and it listens. */
export async function startProvider() {
  const tell = await prepareProvider()
  await tell('start')
  return tell
}

// Opens a mailbox with an access token, as a mail client would.
import assert from 'node:assert/strict'
import tls from 'node:tls'
import { facts } from './parts.mjs'

/** Signs in by OAUTHBEARER (RFC 7628) and selects INBOX; how many messages there are. */
export async function openMailbox(token, login = facts.users[0].login) {
  const said = await dialogue(token, login, 'b SELECT INBOX', 'c LOGOUT')
  const found = /^\* (\d+) EXISTS/m.exec(said)
  assert.ok(/^b OK/m.test(said) && found, `the mailbox does not open:\n${said}`)
  return Number(found[1])
}

/** Checks that a token lets its bearer in, whatever the mailbox is like. */
export async function mailboxLetsIn(token, login) {
  const said = await dialogue(token, login)
  assert.match(said, /^a OK/m, `the token does not work:\n${said}`)
}

/** Checks that a token does not open the mailbox. */
export async function mailboxIsShut(token, login) {
  const said = await dialogue(token, login)
  assert.match(said, /^a NO \[AUTH(?:ENTICATION|ORIZATION)FAILED\]/m, `the mailbox should be shut:\n${said}`)
}

/** Checks that a token that was just ended opens the mailbox no longer, a second and a half later at most. */
export async function mailboxGetsShut(token, login = facts.users[0].login) {
  for (const deadline = Date.now() + 1500; Date.now() < deadline; await new Promise((done) => setTimeout(done, 50))) {
    if (/^a NO/m.test(await dialogue(token, login))) break
  }
  await mailboxIsShut(token, login)
}

/** Opens the mailbox and waits in it; `ended` is fulfilled with all that the server said when it ends the session. */
export function stayInMailbox(token, login = facts.users[0].login) {
  let entered
  const inside = new Promise((resolve) => (entered = resolve))
  const ended = dialogue(token, login, 'b SELECT INBOX', 'c IDLE', entered)
  return Promise.race([inside, ended]).then((said) => {
    assert.equal(said, undefined, `the mailbox does not open:\n${said}`)
    return { ended }
  })
}

/**
 * Signs in, and sends each command when the one before is answered, or calls a function then; all that the server
 * said.
 */
function dialogue(token, login, ...commands) {
  const response = Buffer.from(`n,a=${login},\x01auth=Bearer ${token}\x01\x01`).toString('base64')
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port: facts.ports.imaps, host: facts.hostname, servername: facts.hostname })
    let [said, rest] = ['', '']
    let isGreeted = false
    const send = (line) => (line ? socket.write(`${line}\r\n`) : socket.end())
    socket.setEncoding('utf8')
    socket.setTimeout(10_000, () => socket.destroy(new Error(`the mail server is silent after ${said}`)))
    socket.on('error', reject)
    socket.on('close', () => resolve(said))
    socket.on('data', (text) => {
      said += text
      const lines = (rest + text).split('\r\n')
      rest = lines.pop()
      for (const line of lines) {
        if (line.startsWith('* OK') && !isGreeted) {
          isGreeted = true
          send(`a AUTHENTICATE OAUTHBEARER ${response}`)
        } else if (line.startsWith('+ ')) {
          // The go-ahead of IDLE, or an error challenge, which is answered with one octet (RFC 7628 §3.2.3).
          if (typeof commands[0] === 'function') commands.shift()()
          else send('AQ==')
        } else if (/^[abc] OK/.test(line)) send(commands.shift())
        else if (/^[abc] /.test(line)) socket.end()
      }
    })
  })
}

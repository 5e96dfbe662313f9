import { facts, run } from './support/parts.mjs'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import * as client from 'openid-client'
import {
  backIn, browse, decide, fits, isProtected, MAIL, openClient, request, signIn, SMALL, startApp,
} from './support/chromium.mjs'
import { audit, shoot } from './support/looks.mjs'
import { openMailbox, stayInMailbox } from './support/mailbox.mjs'

const [alice, bob] = facts.users
/** Chromium reports an answer of 4xx on the console, the page's own as well. */
const UNPROCESSABLE = /the server responded with a status of 422/

/** Python's own client signs in with a password, which it reads from where no list of processes shows it. */
async function pythonSignsIn(password, expected) {
  const program = `
import imaplib, ssl, sys, time
for attempt in range(40):
    imap = imaplib.IMAP4_SSL('${facts.hostname}', ${facts.ports.imaps}, ssl_context=ssl.create_default_context())
    # Passwords are offered once anybody has one, which the server looks for every second.
    if 'AUTH=PLAIN' in imap.capabilities or not sys.argv[1] == 'True':
        break
    imap.logout()
    time.sleep(0.25)
try:
    kind, _ = imap.login('${alice.login}', sys.stdin.read())
    kind, _ = imap.select('INBOX', readonly=True)
    print(kind)
except imaplib.IMAP4.error as error:
    print(error)
`
  const python = spawn('python3', ['-c', program, expected.test('OK') ? 'True' : 'False'], { stdio: ['pipe', 'pipe', 'inherit'] })
  python.stdin.end(password)
  let said = ''
  for await (const text of python.stdout) said += text
  assert.match(said, expected)
}

await run({
  async front_page() {
    await browse(async (page) => {
      const answer = await page.goto(`${facts.issuer}/`)
      assert.equal(answer.status(), 200)
      assert.ok((await page.title()).includes(facts.hostname))
      await isProtected(answer)
    })
  },

  async sign_in() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(async (page) => {
      await isProtected(await page.goto(url))
      const consent = page.waitForResponse((answer) => answer.request().method() === 'POST')
      await signIn(page, alice)
      await isProtected(await consent)
      assert.ok((await page.locator('main').innerText()).includes(alice.login))
      await decide(page, 'allow')
      const tokens = await exchange(await backIn(app, page))
      assert.ok(await openMailbox(tokens.access_token))
    })
    assert.equal(app.answers.length, 1)
  },

  async form_post() {
    for (const javaScriptEnabled of [true, false]) {
      const app = await startApp()
      const { url, exchange } = await request(app, { response_mode: 'form_post' })
      await browse(
        async (page) => {
          await page.goto(url)
          await signIn(page, alice)
          await decide(page, 'allow')
          if (!javaScriptEnabled) await page.locator('button[type=submit]').click()
          const parameters = await backIn(app, page)
          assert.equal(app.answers[0].method, 'POST')
          assert.equal(app.answers[0].url.search, '')
          await openMailbox((await exchange(parameters)).access_token)
        },
        { javaScriptEnabled },
      )
    }
  },

  async wrong_password() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        await signIn(page, { login: alice.login, password: 'wrong' })
        await page.getByRole('alert').waitFor()
        const wrong = await page.locator('main').innerText()
        assert.equal(await page.locator('input[name=login]').inputValue(), alice.login)
        assert.equal(await page.locator('input[name=password]').inputValue(), '')
        // A user that does not exist sees the very same page.
        await signIn(page, { login: 'nobody@example.org', password: 'wrong' })
        await page.locator('input[name=login][value^=nobody]').waitFor()
        assert.equal(await page.locator('main').innerText(), wrong)
        await signIn(page, alice)
        await decide(page, 'allow')
        await openMailbox((await exchange(await backIn(app, page))).access_token)
      },
      { expected: UNPROCESSABLE },
    )
  },

  async too_many_wrong_passwords() {
    const app = await startApp()
    const { url } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        for (let tries = 0; tries < 5; tries++) {
          const answer = page.waitForResponse((answer) => answer.request().method() === 'POST')
          await signIn(page, { login: alice.login, password: 'wrong' })
          await (await answer).finished()
          await page.waitForLoadState()
        }
        // The request has ended; there is nothing to type into.
        assert.equal(await page.locator('input[name=password]').count(), 0)
        assert.match(await page.locator('h1').innerText(), /Too many wrong passwords/)
      },
      { expected: /the server responded with a status of 4\d\d/ },
    )
    assert.equal(app.answers.length, 0)
  },

  async double_submit() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(async (page, context) => {
      await page.goto(url)
      await signIn(page, alice)
      await page.locator('button[name=decision]').first().waitFor()
      // The form is sent once behind the page's back, then once more by the page.
      const fields = {}
      for (const field of await page.locator('input[type=hidden]').all()) {
        fields[await field.getAttribute('name')] = await field.getAttribute('value')
      }
      const action = new URL(await page.locator('form').getAttribute('action'), page.url()).href
      const headers = { 'sec-fetch-site': 'same-origin' }
      const form = { ...fields, decision: 'allow' }
      const first = await context.request.post(action, { form, headers, maxRedirects: 0 })
      assert.equal(first.status(), 303)
      await decide(page, 'allow')
      const parameters = await backIn(app, page)
      assert.equal(new URL(first.headers().location).searchParams.get('code'), parameters.get('code'))
      await openMailbox((await exchange(parameters)).access_token)
      // Once the code is used, the form gives nothing any more.
      const late = await context.request.post(action, { form, headers, maxRedirects: 0 })
      assert.ok(late.status() >= 400 && !late.headers().location, String(late.status()))
    })
  },

  async double_click() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        await signIn(page, alice)
        await page.locator('button[value=allow]').dblclick()
        await openMailbox((await exchange(await backIn(app, page))).access_token)
      },
      // The browser gives up the first sending for the second.
      { tolerated: /ERR_ABORTED/ },
    )
  },

  async back_button() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        await signIn(page, alice)
        await page.locator('button[value=allow]').waitFor()
        // Somebody else at the same machine goes back from alice's consent page, and becomes nobody but bob.
        await page.goBack()
        assert.equal(await page.locator('input[name=password]').inputValue(), '')
        await signIn(page, bob)
        assert.ok((await page.locator('main').innerText()).includes(bob.login))
        await decide(page, 'allow')
        const tokens = await exchange(await backIn(app, page))
        await openMailbox(tokens.access_token, bob.login)
        // Back again: the consent page was not kept, and what is before it asks for the password.
        await page.goBack().catch((error) => assert.match(String(error), /ERR_CACHE_MISS/))
        await page.waitForURL((url) => !url.href.startsWith(app.uri))
        await page.waitForURL('chrome-error://chromewebdata/')
        assert.equal(await page.locator('button[name=decision]').count(), 0)
        await page.goto(url)
        assert.equal(await page.locator('input[name=password]').inputValue(), '')
      },
      { tolerated: /ERR_CACHE_MISS/ },
    )
    assert.equal(app.answers.length, 1)
  },

  async deny() {
    const app = await startApp()
    const { url, state } = await request(app)
    await browse(async (page) => {
      await page.goto(url)
      await signIn(page, alice)
      await decide(page, 'deny')
      const parameters = await backIn(app, page)
      assert.equal(parameters.get('error'), 'access_denied')
      assert.equal(parameters.get('state'), state)
      assert.equal(parameters.get('code'), null)
    })
  },

  async device() {
    const config = await openClient()
    const device = await client.initiateDeviceAuthorization(config, { scope: MAIL })
    const polled = client.pollDeviceAuthorizationGrant(config, device)
    await browse(
      async (page) => {
        await isProtected(await page.goto(device.verification_uri))
        await page.locator('input[name=user_code]').fill('BCDF-GHJK')
        await page.locator('button[type=submit]').click()
        await page.getByRole('alert').waitFor()
        // As people type it.
        await page.locator('input[name=user_code]').fill(` ${device.user_code.toLowerCase().replace('-', ' ')}`)
        await page.locator('button[type=submit]').click()
        await signIn(page, alice)
        const consent = await page.locator('main').innerText()
        assert.ok(consent.includes(device.user_code), consent)
        assert.match(consent, /127\.0\.0\.1|::1/)
        await decide(page, 'allow')
        await page.getByRole('status').waitFor()
      },
      { expected: UNPROCESSABLE },
    )
    await openMailbox((await polled).access_token)
  },

  async account() {
    const app = await startApp()
    const { url, exchange } = await request(app)
    await browse(async (page) => {
      await page.goto(url)
      await signIn(page, alice)
      await decide(page, 'allow')
      const tokens = await exchange(await backIn(app, page))
      const { ended } = await stayInMailbox(tokens.access_token)
      let isOver = false
      const over = ended.then(() => (isOver = performance.now()))
      await isProtected(await page.goto(`${facts.issuer}/account`))
      await signIn(page, alice)
      await page.waitForURL(`${facts.issuer}/account`)
      // The app with the session that waits in IDLE, and the app that this trial itself was given.
      const card = page.locator('article', { has: page.getByRole('heading', { name: 'Connected now' }) })
      const text = await card.innerText()
      for (const part of ['IMAP', 'Read, send and delete your mail', 'Disconnect now', 'Last active']) {
        assert.ok(text.includes(part), `${part} in ${text}`)
      }
      await shoot(page, 'account')
      assert.equal(isOver, false)
      const started = performance.now()
      await card.getByRole('button', { name: /^Disconnect/ }).click()
      await over
      assert.ok(isOver - started < 1000, `the session ended after ${isOver - started} ms`)
      await card.waitFor({ state: 'detached' })
      await page.reload()
      assert.equal(await card.count(), 0)
      // One session alone: its app stays connected.
      const again = await request(app)
      await page.goto(again.url)
      await signIn(page, alice)
      await decide(page, 'allow')
      const second = await again.exchange(await backIn(app, page))
      const live = await stayInMailbox(second.access_token)
      await page.goto(`${facts.issuer}/account`)
      await card.getByRole('button', { name: /^Close/ }).click()
      await live.ended
      assert.ok(await openMailbox(second.access_token))
      // In German, and for good.
      await page.locator('select').selectOption('de')
      await page.getByRole('button', { name: 'Change' }).click()
      await page.getByRole('heading', { name: 'Ihr Konto' }).waitFor()
      await shoot(page, 'account-german')
      await page.getByRole('button', { name: 'Abmelden' }).click()
      await page.getByRole('heading', { name: 'Anmelden' }).waitFor()
      await page.goBack()
      assert.equal(await page.locator('article').count(), 0, 'the page was kept')
    })
  },

  async app_password() {
    await browse(
      async (page) => {
        await page.goto(`${facts.issuer}/account/app-password`)
        await signIn(page, alice)
        await page.waitForURL(`${facts.issuer}/account/app-password`)
        await page.getByLabel('Name').fill('Printer in the hall')
        await page.getByRole('textbox', { name: 'Only from these networks' }).fill('nowhere')
        await page.getByLabel('Password').fill(alice.password)
        await page.getByRole('button', { name: 'Make it' }).click()
        await page.getByRole('alert').waitFor()
        await shoot(page, 'app-password')
        assert.equal(await page.getByLabel('Name').inputValue(), 'Printer in the hall')
        assert.equal(await page.getByLabel('Password').inputValue(), '')
        await page.getByRole('textbox', { name: 'Only from these networks' }).fill('127.0.0.0/8, ::1/128')
        await page.getByLabel('Password').fill(alice.password)
        await page.getByRole('button', { name: 'Make it' }).click()
        await page.getByRole('heading', { name: 'Your new app password' }).waitFor()
        const made = (await page.locator('.password').innerText()).trim()
        assert.ok(made.length > 20, made)
        await shoot(page, 'app-password-made', '.password')
        const cards = async () => {
          await page.goto(`${facts.issuer}/account`)
          return page.locator('article', { hasText: 'Printer in the hall' }).count()
        }
        // A reload sends the form again.
        await page.reload()
        await page.getByRole('heading', { name: 'Sent already' }).waitFor()
        assert.ok(!(await page.content()).includes(made))
        assert.equal(await cards(), 1)
        for (let back = 0; back < 3; back++) {
          await page.goBack().catch((error) => assert.match(String(error), /ERR_CACHE_MISS/))
          await page.waitForLoadState()
          // Where the browser has no page it shows its own a moment later.
          const shown = await page.content().catch(() => page.locator('body').innerText())
          assert.ok(!shown.includes(made), 'the way back shows it again')
        }
        assert.equal(await cards(), 1)
        // The program that it was made for, from where it may be used.
        await pythonSignsIn(made, /^OK$/m)
        for (const deadline = Date.now() + 5000; ; await new Promise((done) => setTimeout(done, 100))) {
          await page.reload()
          const text = await page.locator('article', { hasText: 'Printer in the hall' }).innerText()
          if (/ago – IMAP/.test(text)) break
          assert.ok(Date.now() < deadline, `its use is not told: ${text}`)
        }
        await shoot(page, 'account-app-password')
        const card = page.locator('article', { hasText: 'Printer in the hall' })
        await card.getByRole('button').first().click()
        await card.waitFor({ state: 'detached' })
        // It was the last one: then no password is taken at all.
        await pythonSignsIn(made, /AUTHENTICATIONFAILED|Passwords are not accepted/)
      },
      { expected: UNPROCESSABLE, tolerated: /ERR_CACHE_MISS|status of 400/ },
    )
  },

  async accessible() {
    const app = await startApp()
    const { url } = await request(app)
    const device = await client.initiateDeviceAuthorization(await openClient(), { scope: MAIL })
    const visit = async (page) => {
      const at = async (name) => {
        await audit(page, name)
        await shoot(page, name)
      }
      await page.goto(`${facts.issuer}/`)
      await at('home')
      await page.goto(url)
      await at('sign-in')
      await signIn(page, { login: alice.login, password: 'wrong' })
      await page.getByRole('alert').waitFor()
      await at('sign-in-wrong')
      await signIn(page, alice)
      await page.locator('button[value=allow]').waitFor()
      await at('consent')
      await page.goto(device.verification_uri_complete)
      await at('device')
      await page.goto(url.replace('client_id=', 'client_id=not-'))
      await at('error')
      await page.goto(`${facts.issuer}/account`)
      await at('account-sign-in')
      await signIn(page, alice)
      await page.getByRole('heading', { name: 'Your account' }).waitFor()
      await at('account-full')
      await page.getByRole('link', { name: 'Make an app password' }).click()
      await at('app-password-form')
      await page.getByLabel('Name').fill('Printer')
      await page.getByLabel('Password').fill('wrong')
      await page.getByRole('button', { name: 'Make it' }).click()
      await page.getByRole('alert').waitFor()
      await at('app-password-wrong')
    }
    const expected = /the server responded with a status of 4\d\d/
    for (const colorScheme of ['light', 'dark']) {
      await browse(visit, { colorScheme, bypassCSP: true, expected })
    }
    await browse(visit, { viewport: SMALL.viewport, isMobile: true, hasTouch: true, bypassCSP: true, expected })
  },

  async small_screen() {
    const app = await startApp()
    const name = 'A rather long name of a client that says much and more of itself'
    const config = await client.dynamicClientRegistration(new URL(facts.issuer), {
      client_name: name,
      redirect_uris: [app.uri],
      token_endpoint_auth_method: 'none',
    }, client.None())
    const device = await client.initiateDeviceAuthorization(await openClient(), { scope: MAIL })
    const { url } = await request(app, { client_id: config.clientMetadata().client_id, scope: `openid email ${MAIL}` })
    await browse(
      async (page) => {
        await page.goto(`${facts.issuer}/`)
        await fits(page)
        await page.goto(url)
        await fits(page)
        await signIn(page, { login: alice.login, password: 'wrong' })
        await page.getByRole('alert').waitFor()
        await fits(page)
        await signIn(page, alice)
        await page.locator('button[value=allow]').waitFor()
        await fits(page)
        await page.goto(device.verification_uri_complete)
        await fits(page)
        assert.equal(await page.locator('input[name=user_code]').inputValue(), device.user_code)
        await page.locator('button[type=submit]').click()
        await signIn(page, alice)
        await page.locator('button[value=deny]').waitFor()
        await fits(page)
        await decide(page, 'deny')
        await page.getByRole('status').waitFor()
        await fits(page)
        await page.goto(url.replace('client_id=', 'client_id=not-'))
        await fits(page)
        await page.goto(`${facts.issuer}/account`)
        await signIn(page, alice)
        await page.getByRole('heading', { name: 'Your account' }).waitFor()
        await fits(page)
        await page.getByRole('link', { name: 'Make an app password' }).click()
        await fits(page)
      },
      { ...SMALL, expected: /the server responded with a status of 4\d\d/ },
    )
  },

  async frame() {
    const pages = {}
    const app = await startApp(pages)
    const { url } = await request(app)
    pages['/frame'] = `<iframe src="${url.replaceAll('&', '&amp;')}"></iframe>`
    await browse(
      async (page) => {
        await page.goto(`${app.uri}frame`)
        const [, frame] = page.frames()
        assert.equal(await frame.locator('input').count(), 0)
        assert.ok(!frame.url().startsWith(facts.issuer), frame.url())
      },
      { expected: /frame-ancestors|ERR_BLOCKED_BY_RESPONSE/ },
    )
  },

  async foreign_form() {
    const pages = {}
    const app = await startApp(pages)
    const { url } = await request(app)
    await browse(
      async (page) => {
        await page.goto(url)
        const form = await page.locator('form').innerHTML()
        const action = new URL(await page.locator('form').getAttribute('action'), url).href
        // A stranger's page sends the very form that this browser has got.
        pages['/stranger'] = `<form method="post" action="${action}">${form}</form>`
        await page.goto(`${app.uri}stranger`)
        const answer = page.waitForResponse((answer) => answer.request().method() === 'POST')
        await signIn(page, alice)
        assert.equal((await answer).status(), 403)
        assert.equal(await page.locator('button[name=decision]').count(), 0)
      },
      { expected: /status of 403/ },
    )
  },
})

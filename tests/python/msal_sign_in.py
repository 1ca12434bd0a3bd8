"""MSAL for Python, unmodified, against the emulator's Entra: all the ways in which a person signs in.

An independent XML signature library checks what the emulator signs.

usage: msal_sign_in.py PATH-OF-apim-agent
"""

import base64
import html
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import unittest
import webbrowser

import msal
import requests
import signxml
from lxml import etree

BINARY = os.path.abspath(sys.argv.pop(1))
DEADLINE = 60
ECHO = "api://echo/Echo.Read"
VAULT = "https://vault.azure.net/.default"


class Browser(webbrowser.BaseBrowser):
    """Does with a page what a person with a browser does."""

    def open(self, url, new=0, autoraise=True):
        # MSAL answers on the thread that waits for the browser: it must not be kept waiting.
        threading.Thread(target=self.visit, args=(url,), daemon=True).start()
        return True

    @staticmethod
    def visit(url):
        page = requests.get(url, timeout=DEADLINE, allow_redirects=False)
        action = html.unescape(re.search(r'action="([^"]*)"', page.text)[1])
        fields = re.findall(r'name="([^"]*)" value="([^"]*)"', page.text)
        requests.post(action, {name: html.unescape(value) for name, value in fields}, timeout=DEADLINE)


class Msal(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        ready = os.path.join(cls.folder.name, "ready.json")
        cls.process = subprocess.Popen(
            [BINARY, "emulator", "--ready-file", ready],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for line in cls.process.stdout:
            if os.path.exists(ready):
                break
            print("emulator:", line, end="")
        with open(ready, encoding="utf-8") as file:
            cls.ready = json.load(file)
        os.environ["REQUESTS_CA_BUNDLE"] = cls.ready["ca_file"]
        cls.authority = f"{cls.ready['authority']}/{cls.ready['tenant_id']}"
        webbrowser.register("emulated", None, Browser(), preferred=True)

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.communicate(timeout=DEADLINE)
        cls.folder.cleanup()

    def public(self):
        return msal.PublicClientApplication(
            self.ready["client_id"], authority=self.authority, instance_discovery=False)

    def confidential(self):
        def assertion():
            with open(self.ready["assertion_file"], encoding="utf-8") as file:
                return file.read().strip()

        return msal.ConfidentialClientApplication(
            self.ready["client_id"], authority=self.authority, instance_discovery=False,
            client_credential={"client_assertion": assertion})

    def token(self, result):
        self.assertIn("access_token", result, result)
        return result["access_token"]

    def echo(self, token):
        answer = requests.get(
            self.ready["gateway"] + "/echo", headers={"Authorization": f"Bearer {token}"}, timeout=DEADLINE)
        return answer.status_code

    def test_device_code(self):
        app = self.public()
        flow = app.initiate_device_flow([ECHO])
        self.assertIn(flow["user_code"], flow["message"])
        decision = {"otc": flow["user_code"], "decision": "approve"}
        requests.post(flow["verification_uri"], decision, timeout=DEADLINE)
        result = app.acquire_token_by_device_flow(flow)
        self.assertEqual(self.echo(self.token(result)), 200)
        self.assertEqual(result["id_token_claims"]["preferred_username"], "jane@acme.example")

        account, = app.get_accounts()
        self.assertEqual(account["username"], "jane@acme.example")
        cached = app.acquire_token_silent([ECHO], account)
        self.assertEqual(cached["access_token"], result["access_token"])
        fresh = app.acquire_token_silent([ECHO], account, force_refresh=True)
        self.assertNotEqual(self.token(fresh), result["access_token"])
        self.token(app.acquire_token_silent([VAULT], account))

    def test_declined_device_code(self):
        app = self.public()
        flow = app.initiate_device_flow([ECHO])
        decision = {"otc": flow["user_code"], "decision": "decline"}
        requests.post(flow["verification_uri"], decision, timeout=DEADLINE)
        self.assertEqual(app.acquire_token_by_device_flow(flow)["error"], "authorization_declined")

    def test_pending_device_code(self):
        app = self.public()
        flow = app.initiate_device_flow([ECHO])
        result = app.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
        self.assertEqual(result["error"], "authorization_pending")

    def test_browser(self):
        app = self.public()
        result = app.acquire_token_interactive([ECHO], timeout=DEADLINE)
        self.assertEqual(self.echo(self.token(result)), 200)
        self.assertEqual(result["id_token_claims"]["oid"], app.get_accounts()[0]["local_account_id"])

    def test_on_behalf_of(self):
        own = f"api://{self.ready['client_id']}/access_as_user"
        assertion = self.token(self.public().acquire_token_interactive([own], timeout=DEADLINE))
        result = self.confidential().acquire_token_on_behalf_of(assertion, [VAULT])
        self.token(result)
        refused = self.confidential().acquire_token_on_behalf_of(result["access_token"], [ECHO])
        self.assertEqual(refused["error_codes"], [500131])

    def test_saml(self):
        with open(self.ready["saml_assertion_file"], "rb") as file:
            assertion = file.read()
        verified = signxml.XMLVerifier().verify(
            assertion, require_x509=False, id_attribute="ID",
            expect_config=signxml.SignatureConfiguration(require_x509=False))
        self.assertTrue(verified.signed_xml.tag.endswith("}Assertion"))
        self.assertEqual(
            verified.signed_data,
            etree.tostring(verified.signed_xml, method="c14n", exclusive=True))
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:saml2-bearer",
            "client_id": self.ready["client_id"],
            "scope": ECHO,
            "assertion": base64.urlsafe_b64encode(assertion).decode(),
        }
        answer = requests.post(self.authority + "/oauth2/v2.0/token", form, timeout=DEADLINE)
        self.assertEqual(self.echo(self.token(answer.json())), 200)


if __name__ == "__main__":
    unittest.main()

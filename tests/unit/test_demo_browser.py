from bot.demo.browser import read_buttons

PAGE = """
<form method="get" action="/find"><input name="q"><button>Find</button></form>
<button>Outside</button>
<form method="post" action="/incidents/INC-1/press">
  <input type="hidden" name="csrf" value="t&amp;1"><input type="hidden" name="event" value="n0nce">
  <button name="button" value="ack:INC-1" class="x"> Acknow<b>ledge</b>
  </button>
  <button name="button" value="late" disabled>Later</button>
</form>
<form method="POST" action="approve"><input name="csrf" value="t2"><button>Approve &amp; push</button></form>
"""


def test_reads_the_buttons_of_post_forms_with_what_they_send() -> None:
    buttons = read_buttons(PAGE, "http://127.0.0.1:1/incidents/INC-1")
    assert [(button.label, button.action, button.fields) for button in buttons] == [
        (
            "Acknowledge",
            "http://127.0.0.1:1/incidents/INC-1/press",
            {"csrf": "t&1", "event": "n0nce", "button": "ack:INC-1"},
        ),
        ("Approve & push", "http://127.0.0.1:1/incidents/approve", {"csrf": "t2"}),
    ]


def test_a_page_without_forms_has_no_buttons() -> None:
    assert read_buttons("<p>All quiet</p><form method=post>", "http://127.0.0.1:1/") == []

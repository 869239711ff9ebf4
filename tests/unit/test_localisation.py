"""From a trace of eight languages, as services print it in a container, to the function in the repository."""

import io
import tarfile

import pytest

from bot.domain.evidence import Frame, LogLine
from bot.domain.logs.records import find_records
from bot.domain.suspects.suspicion import index_tree, locate_frame
from bot.worker.suspect import Snapshot, _find_places, _read_code, find_function

PYTHON = """Traceback (most recent call last):
  File "/usr/local/lib/python3.12/site-packages/flask/app.py", line 917, in full_dispatch_request
    rv = self.dispatch_request()
  File "/app/shop/cart.py", line 6, in total
    return self.net * RATES[country]
KeyError: 'SE'"""
JAVA = """java.lang.NullPointerException: rate
\tat com.acme.shop.Cart.total(Cart.java:5)
\tat com.acme.shop.Checkout.pay(Checkout.java:44)
\tat org.springframework.web.servlet.FrameworkServlet.service(FrameworkServlet.java:897)"""
GO = """panic: runtime error: index out of range [3] with length 3

goroutine 18 [running]:
github.com/acme/shop/cart.(*Cart).Total(0xc00010e000)
\t/go/src/github.com/acme/shop/cart/cart.go:6 +0x1d
main.main()
\t/go/src/github.com/acme/shop/main.go:12 +0x85"""
NODE = """TypeError: Cannot read properties of undefined (reading 'rate')
    at Cart.total (/usr/src/app/dist/cart.js:5:31)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)"""
RUBY = """/srv/app/current/app/models/cart.rb:4:in `total': undefined method `rate' for nil (NoMethodError)
\tfrom /srv/app/current/app/controllers/checkout_controller.rb:9:in `pay'
\tfrom /usr/local/bundle/gems/actionpack-7.1.3/lib/action_controller/metal.rb:227:in `dispatch'"""
RUST = """thread 'main' panicked at src/cart.rs:5:14:
called `Option::unwrap()` on a `None` value
stack backtrace:
   0: rust_begin_unwind
             at /rustc/9fc6b431/library/std/src/panicking.rs:645:5
   1: shop::cart::Cart::total
             at ./src/cart.rs:5:14"""
DOTNET = """System.NullReferenceException: Object reference not set to an instance of an object.
   at Acme.Shop.Cart.Total(String country) in /src/Acme.Shop/Cart.cs:line 5
   at Acme.Shop.Checkout.Pay() in /src/Acme.Shop/Checkout.cs:line 31"""
PHP = """PHP Fatal error:  Uncaught TypeError: Unsupported operand types in /var/www/html/src/Cart.php:5
Stack trace:
#0 /var/www/html/public/index.php(12): Acme\\Cart->total('SE')
#1 {main}
  thrown in /var/www/html/src/Cart.php on line 5"""

SOURCES = {
    "shop/cart.py": """RATES = {}


class Cart:
    def total(self, country):
        return self.net * RATES[country]
""",
    "src/main/java/com/acme/shop/Cart.java": """package com.acme.shop;

class Cart {
    int total(String country) {
        return rate(country) * net;
    }
}
""",
    "src/test/java/com/acme/other/Cart.java": "package com.acme.other;\nclass Cart {}\n",
    "cart/cart.go": """package cart

type Cart struct{}

func (c *Cart) Total() int {
\treturn c.lines[3]
}
""",
    "src/cart.ts": """export class Cart {
  net = 1;

  total(country: string) {
    return RATES[country].rate;
  }
}
""",
    "app/models/cart.rb": """class Cart
  # The whole.
  def total
    country.rate * net
  end
end
""",
    "src/cart.rs": """struct Cart;

impl Cart {
    fn total(&self) -> i64 {
        self.rate().unwrap()
    }
}
""",
    "Acme.Shop/Cart.cs": """namespace Acme.Shop;
class Cart {
    int Total(string country)
    {
        return Rate(country);
    }
}
""",
    "src/Cart.php": """<?php
class Cart {
    function total($country)
    {
        return $this->net * $country;
    }
}
""",
}

CASES = [
    pytest.param(PYTHON, "shop/cart.py", 6, "total", id="python"),
    pytest.param(JAVA, "src/main/java/com/acme/shop/Cart.java", 5, "total", id="java"),
    pytest.param(GO, "cart/cart.go", 6, "Total", id="go"),
    pytest.param(NODE, "src/cart.ts", 5, "total", id="node, compiled from TypeScript"),
    pytest.param(RUBY, "app/models/cart.rb", 4, "total", id="ruby"),
    pytest.param(RUST, "src/cart.rs", 5, "total", id="rust"),
    pytest.param(DOTNET, "Acme.Shop/Cart.cs", 5, "Total", id=".net"),
    pytest.param(PHP, "src/Cart.php", 5, "total", id="php"),
]


def pack(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return Snapshot(archive=buffer.getvalue())


def locate(trace, files, aliases=None):
    lines = [LogLine(source="app.log", number=n, text=text) for n, text in enumerate(trace.splitlines(), 1)]
    snapshot = pack(files)
    places, _ = _find_places(find_records(lines), snapshot, aliases or {})
    return places, _read_code(snapshot).definitions


@pytest.mark.parametrize(("trace", "path", "line", "function"), CASES)
def test_the_innermost_frame_is_found_with_its_function(trace, path, line, function):
    places, definitions = locate(trace, SOURCES)
    first = next(place for place in places if place.is_innermost)
    assert (first.path, first.line) == (path, line)
    assert find_function(first, definitions) == function


def test_a_file_that_was_renamed_since_is_found_under_its_name_of_today():
    files = {"shop/basket.py": SOURCES["shop/cart.py"]}
    places, _ = locate(PYTHON, files, {"shop/cart.py": "shop/basket.py"})
    assert [(place.path, place.line) for place in places] == [("shop/basket.py", 6)]


@pytest.mark.parametrize(
    ("path", "function", "tree", "found"),
    [
        ("/venv/lib/python3.11/site-packages/shop/cart.py", "f", ["src/shop/cart.py"], "src/shop/cart.py"),
        ("/venv/lib/python3.11/site-packages/flask/cart.py", "f", ["src/shop/cart.py"], None),
        ("webpack:///./src/cart.ts", "f", ["src/cart.ts", "lib/cart.ts"], "src/cart.ts"),
        ("file:///app/src/cart.js", "f", ["src/cart.js"], "src/cart.js"),
        ("Cart.java", "com.acme.Cart.total", ["a/com/acme/Cart.java", "b/org/Cart.java"], "a/com/acme/Cart.java"),
        ("Cart.java", "total", ["a/com/acme/Cart.java", "b/org/Cart.java"], None),
        ("/app/dist/server/cart.js", "f", ["src/server/cart.ts"], "src/server/cart.ts"),
    ],
)
def test_paths_of_installed_built_and_packaged_code_are_mapped(path, function, tree, found):
    assert locate_frame(Frame(path=path, line=1, function=function), index_tree(tree)) == found

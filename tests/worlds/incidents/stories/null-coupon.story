+++
kind = "null that nobody checks"
language = "Java"
place = "src/main/java/com/example/shop/Discounts.java:14"
log = '''
{at} INFO  c.e.s.CartController - GET /cart/17 200 4 ms
{at} INFO  c.e.s.CartController - GET /cart/18 200 3 ms
{at} ERROR c.e.s.CartController - POST /cart/19/checkout failed with status 500
java.lang.NullPointerException: Cannot invoke "com.example.shop.Coupon.percent()" because "coupon" is null
	at com.example.shop.Discounts.apply(Discounts.java:14)
	at com.example.shop.Cart.total(Cart.java:21)
	at com.example.shop.CartController.checkout(CartController.java:40)
	at java.base/java.lang.reflect.Method.invoke(Method.java:580)
{at} INFO  c.e.s.CartController - GET /cart/19 200 3 ms
'''

[alert]
alertname = "HighErrorRate"
summary = "shop answers 17 % of requests with 500"
+++
%% commit Ada: Take coupons
%% file src/main/java/com/example/shop/Coupon.java
package com.example.shop;

/** What a coupon takes off, in percent. */
record Coupon(String code, int percent) {}
%% file src/main/java/com/example/shop/Discounts.java
package com.example.shop;

import java.util.Map;

/** What coupons take off a price. */
final class Discounts {
    private static final Map<String, Coupon> COUPONS = Map.of("VIP", new Coupon("VIP", 25));

    private Discounts() {}

    /** Returns what a coupon takes off, in cents. */
    static long apply(long total, String code) {
        Coupon coupon = COUPONS.getOrDefault(code, new Coupon("none", 0));
        return total * coupon.percent() / 100;
    }
}
%% file src/main/java/com/example/shop/Cart.java
package com.example.shop;

import java.util.List;

/** What a customer wants to buy. */
final class Cart {
    private final List<Long> prices;
    private final String code;

    Cart(List<Long> prices, String code) {
        this.prices = prices;
        this.code = code;
    }

    /** Returns what the cart costs, in cents. */
    long total() {
        long sum = prices.stream().mapToLong(Long::longValue).sum();

        return sum - Discounts.apply(sum, code);
    }
}
%% commit Cy: Say what the service is
%% file README.md
# Shop

Sells what is in the cart.
%% culprit Bo: Make no coupon where there is none
%% edit src/main/java/com/example/shop/Discounts.java
        Coupon coupon = COUPONS.getOrDefault(code, new Coupon("none", 0));
%% to
        Coupon coupon = COUPONS.get(code);
%% commit Ada: Name the coupon of the spring
%% edit src/main/java/com/example/shop/Coupon.java
/** What a coupon takes off, in percent. */
%% to
/** What a coupon takes off, in percent; SPRING comes in March. */

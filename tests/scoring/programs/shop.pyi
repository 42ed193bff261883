"""A shop's tools."""

from typing import Literal

class Supplier:
    id: str
    name: str
    email: str | None

class Product:
    sku: str
    name: str
    price: float
    stock: int
    tags: list[str]
    supplier: Supplier | None

class SearchResult:
    products: list[Product]
    total: int

class Address:
    street: str
    city: str
    country: str

class Customer:
    id: int
    name: str
    email: str
    address: Address

class OrderLine:
    sku: str
    quantity: int
    price: float

class Order:
    id: int
    customer_id: int
    status: Literal["open", "paid", "shipped", "cancelled"]
    lines: list[OrderLine]
    total: float
    coupon: str | None

class Refund:
    id: str
    order_id: int
    cents: int
    done: bool

class Message:
    id: str
    sent: bool

def search_products(
    query: str, category: Literal["books", "music", "garden"] | None = None, limit: int = 20, in_stock: bool = False
) -> SearchResult:
    """Search the products by words."""

def get_product(sku: str) -> Product:
    """Get one product."""

def get_customer(customer_id: int) -> Customer:
    """Get one customer."""

def find_customer(email: str) -> Customer | None:
    """Find a customer by mail address."""

def list_orders(
    customer_id: int, *, status: Literal["open", "paid", "shipped", "cancelled"] | None = None, limit: int = 10
) -> list[Order]:
    """List a customer's orders, the newest first."""

def get_order(order_id: int) -> Order:
    """Get one order."""

def create_order(
    customer_id: int, items: dict[str, int], *, coupon: str | None = None, express: bool = False
) -> Order:
    """Order items, given as quantities by sku."""

def refund_order(
    order_id: int, cents: int, reason: Literal["damaged", "late", "wrong item", "other"] = "other"
) -> Refund:
    """Pay money back."""

def set_price(sku: str, price: float) -> Product:
    """Change a product's price."""

def send_email(to: str, subject: str, body: str, cc: list[str] | None = None) -> Message:
    """Send a mail."""

def export_report(kind: Literal["sales", "stock"], path: str, columns: list[str] | None = None) -> str:
    """Write a report to a file, and return its path."""
